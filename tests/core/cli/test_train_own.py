"""`vgt train` with networks of one's own, as a person uses it: real processes, killed, taken up; and mistakes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Running

NETS = Path(__file__).parents[1] / "training" / "own_nets.py"
EXPERIMENT = """
arms:
  resnet18:
    model: {factory: "nets:small_resnet18"}
    data: {dataset: digits, num_train: 16, num_test: 8, batch_size: 4}
    training: {steps: 5}
    probes: {every: 3, num_images: 8}
  transformer:
    model: {factory: "nets:Attention", settings: {width: 8, dropout: 0.2}}
    data: {dataset: digits, num_train: 200, num_validation: 50, num_test: 50, batch_size: 16}
    optimiser: {name: adam, lr: 0.01}
    training: {steps: 20, validate_every: 5, accumulate: 2}
    probes: {every: 10}
  lstm:
    model: {factory: "nets:Recurrent", settings: {width: 8}}
    data: {dataset: digits, num_train: 200, num_test: 50, batch_size: 16}
    optimiser: {name: adam, lr: 0.01, schedule: cosine}
    training: {steps: 20, loss: "nets:focal", score: "nets:surprise"}
    probes: {every: 10}
"""


class Folder:
    """A person's folder, with their code and their experiment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "nets.py").write_text(NETS.read_text())
        (path / "own.yaml").write_text(EXPERIMENT)

    def start(self, results: str, *arguments: str) -> Running:
        gone = ("VGT_RESULTS_DIR", "VGT_DATA_DIR", "MLFLOW_TRACKING_URI")
        environment = {name: value for name, value in os.environ.items() if name not in gone}
        settings = {"VGT_RESULTS_DIR": results, "VGT_CHECKPOINT_SECONDS": "0"}
        return Running(*arguments, cwd=self.path, environment=environment | settings)

    def run(self, results: str, *arguments: str) -> tuple[int | None, str, str]:
        process = self.start(results, *arguments)
        out, err = process.communicate()
        return process.returncode, out, err

    def record(self, results: str) -> dict[str, Any]:
        (path,) = (self.path / results).glob("*/record.json")
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def kill_at_a_checkpoint(folder: Folder, arm: str, times: int) -> int:
    """Start to train, and kill the process once it has written another checkpoint, so many times; how often it did."""
    kills = 0
    for _ in range(times):
        process = folder.start("killed", "train", "own.yaml", "--arm", arm, "--seeds", "2", "--no-tracking")
        seen = {path: path.stat().st_mtime_ns for path in (folder.path / "killed" / ".checkpoints").rglob("*.ckpt")}
        while process.poll() is None:
            found = (folder.path / "killed" / ".checkpoints").rglob("*.ckpt")
            if any(seen.get(path) != path.stat().st_mtime_ns for path in found if path.exists()):
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["resnet18", "transformer", "lstm"])
def test_a_network_that_is_killed_and_taken_up_ends_with_the_same_bits(folder: Folder, arm: str) -> None:
    code, out, err = folder.run("whole", "train", "own.yaml", "--arm", arm, "--seeds", "2", "--no-tracking")
    assert code == 0, err
    assert arm in out
    assert ("one after the other" in err) == (arm == "lstm")
    assert kill_at_a_checkpoint(folder, arm, 2) == 2
    code, _, err = folder.run("killed", "train", "own.yaml", "--arm", arm, "--seeds", "2", "--no-tracking")
    assert code == 0, err
    whole, killed = folder.record("whole"), folder.record("killed")
    assert len(killed["environment"]["parts"]) >= 2
    assert killed["weights_sha256"] == whole["weights_sha256"]
    assert killed["series_sha256"] == whole["series_sha256"]
    assert killed["key"] == whole["key"]


@pytest.mark.slow
def test_a_record_is_found_again_until_the_code_changes(folder: Folder) -> None:
    train = ("train", "own.yaml", "--arm", "lstm", "--seeds", "1", "--no-tracking", "--set", "training.steps=2")
    assert folder.run("results", *train)[0] == 0
    assert "already trained" in folder.run("results", *train)[1]
    (folder.path / "nets.py").write_text(NETS.read_text() + "\nOTHER = 1\n")
    code, out, _ = folder.run("results", *train)
    assert code == 0
    assert "already trained" not in out
    assert len(list((folder.path / "results").glob("*/record.json"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.settings.widht=3",
            "error: own.yaml: arms.lstm.model.settings: unknown setting of nets:Recurrent 'widht'; did you mean 'width",
        ),
        ("model.factory=nets:Recurent", "nets.py has no 'Recurent'; did you mean 'Recurrent'?"),
        (
            "model.factory=nts:Recurrent",
            "no module 'nts' beside the experiment, in the working folder or among the installed packages; did you",
        ),
        ("model.settings.width=wide", "error: model.factory nets:Recurrent: TypeError: "),
        ("training.loss=nets:broken", "error: training.loss nets:broken: IndexError: "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(folder: Folder, override: str, message: str) -> None:
    train = ("train", "own.yaml", "--arm", "lstm", "--seeds", "1", "--no-tracking", "--set", override)
    code, out, err = folder.run("results", *train)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in err + out
    assert not list((folder.path / "results").glob("*/record.json"))


@pytest.mark.slow
def test_the_theory_says_that_it_does_not_cover_it(folder: Folder) -> None:
    code, out, err = folder.run("results", "predict", "--arm", "own.yaml:lstm")
    assert (code, out) == (2, "")
    assert err == "error: the theory does not cover this network: it is a model of one's own\n"
