"""`vgt bisect nan` as a process of its own: scripts and experiments whose bad step, function and sample are known."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import CALL, run_vgt
from vgtemplate.data.batches import BatchOrder

pytestmark = pytest.mark.slow

LOGARITHM = """
import sys
import torch
from torch import nn

class Mixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.scale = nn.Linear(8, 4), nn.Parameter(torch.ones(()))

    def forward(self, x):
        share = (x[:, :1].abs() + 1) * self.scale * (x[:, :1] != 77)
        return self.body(x) + torch.log(share)

torch.manual_seed(0)
x = torch.randn(160, 8)
data = torch.utils.data.TensorDataset(x, x[:, :4].argmax(1), torch.arange(160))
model = Mixture()
optimiser = torch.optim.SGD(model.parameters(), 0.05)
step = 0
for epoch in range(15):
    for x, y, number in torch.utils.data.DataLoader(data, 16, shuffle=True):
        if step == 137 and "--ill" in sys.argv:
            x[5, 0] = 77
            print("number", int(number[5]))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        step += 1
print("done")
"""
ROOT = """
import torch
from torch import nn
torch.manual_seed(0)
encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4, bias=False))
optimiser = torch.optim.Adam(encoder.parameters(), 1e-3)
for step in range(50):
    z = encoder(torch.randn(16, 8))
    if step == 31:
        z = z * (torch.arange(16) != 3)[:, None]
    optimiser.zero_grad()
    z.square().sum(1).sqrt().mean().backward()
    optimiser.step()
"""
OWN = """
import os
import signal
import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

ROW = 40

def make_data():
    x = np.random.default_rng(0).standard_normal((64, 8)).astype("float32")
    y = x[:, :4].argmax(1)
    return x, y, x[:16], y[:16]

def make_bad_data():
    x, y, *test = make_data()
    x[ROW] = 0
    return x, y, *test

class Logarithm(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(torch.log(x.square().sum(1, keepdim=True) * self.head.weight.square().sum()) + x)

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(8, 4)

    def training_step(self, batch, index):
        z = self.net(batch[0])
        if self.global_step == 100 and "ENDS_ITSELF" in os.environ:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.global_step == 137:
            z = z * (torch.arange(len(z)) != 5)[:, None]
            return z.square().sum(1).log().mean()
        return nn.functional.cross_entropy(z, batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)
"""
EXPERIMENT = """
arms:
  module:
    module: {factory: "own:Module"}
    data: {factory: "own:make_data", batch_size: 16}
    training: {steps: 150}
  network:
    model: {factory: "own:Logarithm"}
    data: {factory: "own:make_bad_data", batch_size: 8}
    training: {steps: 20}
  healthy:
    model: {factory: "own:Logarithm"}
    data: {factory: "own:make_data", batch_size: 8}
    training: {steps: 20}
"""


# The two runs of a script are forked too, where their output goes is the same.
FORKING = f"""
import sys
from tests.processes import run_vgt
from vgtemplate.cli.copies import Script
def run(self, options, scratch, capture_output=False):
    _, _, _, *arguments = self.call(*options)
    done = run_vgt(*arguments, cwd=self.folder, environment=self.environment)
    if not capture_output:
        sys.stdout.write(done.stdout), sys.stderr.write(done.stderr)
    return done
Script.run = run
{CALL}
"""
SETTINGS = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logarithm.py").write_text(LOGARITHM, encoding="utf-8")
    (tmp_path / "root.py").write_text(ROOT, encoding="utf-8")
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def vgt(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def call(*arguments: object, what: str = "bisect nan", **more: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | SETTINGS | {"VGT_RESULTS_DIR": str(folder / "results")} | more
        return run_vgt(*what.split(), *map(str, arguments), cwd=folder, environment=environment, code=FORKING)

    return call


def test_logarithm_of_zero_in_a_script(folder: Path) -> None:
    """Starts Python three times, as for a user: torch is to be waited for, and what ran once is to run again."""
    command = [sys.executable, "-m", "vgtemplate", "bisect", "nan", "logarithm.py", "--ill"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | SETTINGS)
    assert done.returncode == 1, done.stderr
    number, *lines = done.stdout.splitlines()
    assert lines == [
        "logarithm.py: the loss is not finite at step 137",
        "forward: log() (logarithm.py:13, module Mixture) is the first to put out infinity",
        f"samples 5 of the batch, {number.removeprefix('number ')} of the data set",
    ]


def test_root_of_zero_in_the_backward_pass_of_a_script(vgt) -> None:
    done = vgt("root.py")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "root.py: the gradient is not finite at step 31",
        "backward: sqrt() (root.py:12) is the first whose derivative is infinity",
        "samples 3 of the batch",
    ]


def test_healthy_script(vgt) -> None:
    done = vgt("logarithm.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\nlogarithm.py: no value was NaN or infinite in 150 steps\n"


def culprit_of_the_module() -> list[str]:
    index = int(BatchOrder([0], 64, 16).indices(137)[0, 5])
    return [
        "forward: log() (own.py:40) is the first to put out infinity",
        f"samples 5 of the batch, {index} of the training split",
    ]


def test_logarithm_of_zero_in_a_module_of_ones_own(vgt, tmp_path: Path) -> None:
    done = vgt("own.yaml", "--arm", "module", "--seeds", 1)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == ["module: the loss is not finite at step 137, seed 0", *culprit_of_the_module()]
    assert not (tmp_path / "results").exists()


def test_goes_on_from_the_checkpoint_of_a_training_that_was_ended(vgt, tmp_path: Path) -> None:
    arm = ("own.yaml", "--arm", "module", "--seeds", 1)
    ended = vgt(*arm, "--no-tracking", what="train", ENDS_ITSELF="1")
    assert ended.returncode == 143, ended.stderr
    (checkpoint,) = (tmp_path / "results" / ".checkpoints").rglob("*.ckpt")
    before = checkpoint.read_bytes()
    done = vgt(*arm)
    assert done.returncode == 1, done.stderr
    first, *culprit = done.stdout.splitlines()
    assert re.sub(r"step 10[01]\)", "step 10x)", first) == (
        "module: the loss is not finite at step 137, seed 0 (from the checkpoint at step 10x)"
    )
    assert culprit == culprit_of_the_module()
    assert checkpoint.read_bytes() == before


def test_population_names_the_seeds_whose_batch_has_the_bad_row(vgt) -> None:
    seeds = range(3, 6)
    order = BatchOrder(seeds, 64, 8)
    hits = [(step, (order.indices(step) == 40).nonzero().tolist()) for step in range(8)]
    step, places = next((step, places) for step, places in hits if places)
    done = vgt("own.yaml", "--arm", "network", "--seeds", 3, "--first-seed", 3)
    assert done.returncode == 1, done.stderr
    first, second, third = done.stdout.splitlines()
    bad = [str(seeds[place[0]]) for place in places]
    assert first == f"network: the loss is not finite at step {step}, seed{'s' * (len(bad) > 1)} {', '.join(bad)}"
    assert second == "forward: log() (own.py:27, module model.network) is the first to put out infinity"
    assert third == f"samples {places[0][1]} of the batch, 40 of the training split"


def test_healthy_experiment(vgt) -> None:
    done = vgt("own.yaml", "--arm", "healthy", "--seeds", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "healthy: no value was NaN or infinite in 20 steps\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.py",), "error: missing.py: no such file"),
        (("missing.yaml",), "error: missing.yaml"),
        (("empty.py",), "error: empty.py: no optimiser has stepped, or it uses no torch"),
        (("own.yaml", "--arm", "modul"), "error: unknown arm of own.yaml 'modul'; did you mean 'module'?"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(vgt, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n", encoding="utf-8")
    done = vgt(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(words), done.stderr
    assert done.stderr.count("\n") == 1
