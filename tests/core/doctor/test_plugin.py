"""The fixture `healthy`, in a pytest of its own; and what the plugin loads before it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import torch
from torch import nn

def batches(integer=True):
    torch.manual_seed(0)
    x = torch.randn(12, 32, 20)
    return [(each, each[:, :4].argmax(1) if integer else each[:, :2].sum(1, keepdim=True)) for each in x]

def network(out=4, *more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, out), *more)

def test_classes(healthy):
    model = network()
    before = [each.clone() for each in model.parameters()]
    assert healthy(model, batches()).is_healthy
    assert all(map(torch.equal, model.parameters(), before))

def test_numbers(healthy):
    healthy(network(1), batches(integer=False), steps=20)

def test_ill(healthy):
    healthy(network(4, nn.Softmax(-1)), batches(), optimizer=None)

def test_known_illness(healthy):
    healthy(network(4, nn.Softmax(-1)), batches(), but=["loss-head-mismatch"])
"""


@pytest.mark.slow
def test_fixture_lets_a_test_fail_with_the_report(tmp_path: Path) -> None:
    (tmp_path / "test_nets.py").write_text(TESTS, encoding="utf-8")
    call = [sys.executable, "-m", "pytest", "-q", "-p", "vgtemplate.doctor.plugin", "-p", "no:cacheprovider"]
    # By its module, whatever is installed: by its entry point pytest finds it itself.
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=alone)
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "FAILED test_nets.py::test_ill" in done.stdout
    assert "cross_entropy applies the softmax itself" in done.stdout


def test_plugin_loads_no_torch() -> None:
    code = "import sys, vgtemplate.doctor.plugin; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
