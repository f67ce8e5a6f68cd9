"""A claim about a network, data and a metric of one's own: searched, judged, reported, sent to MLflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import run_vgt

pytestmark = pytest.mark.slow

CODE = """
import numpy as np
import torch
from torch import nn

def make_net(input_shape, num_classes, width=4, parts=None):
    layers = nn.Linear(input_shape[0], width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, num_classes)
    return nn.Sequential(*layers)

def make_arrays(noise=0.5):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 260)
    inputs = np.eye(5, dtype=np.float32)[labels] + noise * generator.standard_normal((260, 5), dtype=np.float32)
    return inputs[:200], labels[:200], inputs[200:], labels[200:]

def surplus(record):
    return record.series["test_accuracy"] - 1 / 3
"""
CLAIM = """
id: own-network
articles: []
statement: A network of one's own learns data of one's own.
kind: training
arms:
  wide:
    model: {factory: "own_claim_code:make_net", settings: {parts: {"odd name!": [1, 2]}}}
    data: {factory: "own_claim_code:make_arrays", settings: {noise: 0.3}, batch_size: 20}
    training: {steps: 30}
  narrow:
    model: {kind: mlp, depth: 2, width: 4}
    data: {factory: "own_claim_code:make_arrays", settings: {noise: 0.3}, batch_size: 20}
    training: {steps: 30}
search:
  - {arms: [wide], grid: {model.settings.width: [2, 8]}}
parts:
  - {metric: "own_claim_code:surplus", arms: [wide], threshold: "> 0.2"}
  - {metric: factor_error, arms: [wide], threshold: "> 0"}
literature: none
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "experiments" / "claims").mkdir(parents=True)
    (folder / "experiments" / "claims" / "own-network.yaml").write_text(CLAIM)
    (folder / "own_claim_code.py").write_text(CODE)
    return folder


def vgt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    gone = ("VGT_CLAIMS_DIR", "VGT_RESULTS_DIR", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    return run_vgt(*arguments, cwd=folder, environment=environment | {"OMP_NUM_THREADS": "1"})


def test_it_is_searched_judged_reported_and_shown(folder: Path) -> None:
    run = ("--dataset", "digits", "--seeds", "2")
    tuned = vgt(folder, "tune", "own-network", *run, "--jobs", "1")
    assert tuned.returncode == 0, tuned.stderr + tuned.stdout
    picks = (folder / "experiments" / "claims" / "picks" / "digits.yaml").read_text()
    assert "model.settings.width" in picks
    judged = vgt(folder, "reproduce", "own-network", *run, "--jobs", "1", "--json")
    (result,) = json.loads(judged.stdout)
    surplus, factor = result["parts"]
    assert surplus["verdict"] == "clears", judged.stdout
    # What no theory knows of is no number, and clears no threshold.
    assert factor["effects"] == [None, None]
    assert result["verdict"] != "confirmed"
    assert "Traceback" not in judged.stderr
    reported = vgt(folder, "report", *run)
    assert reported.returncode == 0, reported.stderr
    page = (folder / "results" / "report" / "index.html").read_text()
    assert "own_claim_code:surplus" in page or "own claim code:surplus" in page
    assert (folder / "results" / "mlflow.db").exists() or list(folder.rglob("mlflow.db"))


def test_a_metric_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "experiments", tmp_path / "experiments")
    shutil.copy(folder / "own_claim_code.py", tmp_path)
    path = tmp_path / "experiments" / "claims" / "own-network.yaml"
    path.write_text(CLAIM.replace("own_claim_code:surplus", "own_claim_code:surpluss"))
    ended = vgt(tmp_path, "claims")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "own_claim_code.py has no 'surpluss'; did you mean 'surplus'?" in ended.stderr
