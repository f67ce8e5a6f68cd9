"""`vgt train` as a person uses it: real processes, stopped, started again, side by side, with and without MLflow."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Running
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record, read_record, write_record
from vgtemplate.tracking.outbox import Registration, Run, missed
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

ARM = """
arms:
  plain:
    data: {{dataset: digits, num_train: 200}}
    model: {{depth: 4, width: 16}}
    training: {{steps: {steps}}}
"""


def start(folder: Path, results: str, steps: int, *arguments: str) -> Running:
    (folder / "arm.yaml").write_text(ARM.format(steps=steps))
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | {
        "VGT_RESULTS_DIR": str(folder / results),
        "VGT_CHECKPOINT_SECONDS": "0.05",
        "OMP_NUM_THREADS": "1",
    }
    command = ("train", str(folder / "arm.yaml"), "--seeds", "2", *arguments)
    return Running(*command, cwd=folder, environment=environment)


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def only_record(results: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = results.glob("*/record.json")
    return path.parent, json.loads(path.read_bytes())


def train_here(folder: Path, record: dict[str, Any]) -> Record:
    """Train in this process, in one go and without anybody who looks, what a record is of."""
    config = ArmConfig.model_validate(record["configuration"])
    return train_arm("plain", config, [0, 1], folder, Hardware("cpu", threads=1))[0]


@pytest.mark.slow
def test_as_json_it_prints_each_arms_numbers_and_nothing_else(
    call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "arm.yaml").write_text(ARM.format(steps=3))
    done = call_vgt("train", "arm.yaml", "--seeds", "2", "--no-tracking", "--json", "--plot", "arm.png")
    assert done.code == 0
    (arm,) = json.loads(done.out)
    record = read_record(tmp_path / "results", arm["key"])
    assert record is not None
    assert (arm["arm"], arm["dataset"], arm["seeds"]) == ("plain", "digits", [0, 1])
    assert arm["test_accuracy"] == pytest.approx(record.series["test_accuracy"].tolist())
    assert len(arm["training_loss"]) == len(arm["gradient_slope"]) == 2
    assert arm["gradient_slope_in_theory"] == pytest.approx(arm["gradient_slope"][0], abs=0.3)
    assert (arm["diverged_at"], arm["logged"], arm["notes"]) == ([-1, -1], {}, [])
    assert (tmp_path / "arm.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_goes_on_where_it_was(tmp_path: Path, number: int, code: int) -> None:
    """Takes its time: 600 steps, so that the signal finds it in the middle, with a checkpoint 20 times a second."""
    stopped = start(tmp_path, "stopped", 600, "--no-tracking")
    wait_until(lambda: list((tmp_path / "stopped").glob(".checkpoints/*/training.ckpt")))
    stopped.send_signal(number)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == code
    assert "plain: stopped at step" in errors.splitlines()[-1]
    assert not list((tmp_path / "stopped").glob("*/record.json"))
    assert start(tmp_path, "stopped", 600, "--no-tracking").wait(240) == 0
    folder, record = only_record(tmp_path / "stopped")
    assert record["environment"]["parts"][1]["from_step"] > 0
    whole = train_here(tmp_path, record)
    assert "parts" not in whole.environment
    assert record["weights_sha256"] == whole.weights_sha256
    assert (write_record(tmp_path, whole) / "series.npz").read_bytes() == (folder / "series.npz").read_bytes()


@pytest.mark.slow
def test_mlflow_and_progress_change_nothing_and_a_second_process_waits(tmp_path: Path) -> None:
    """With MLflow, progress and a second process that wants the same, against this process without any of them."""
    first = start(tmp_path, "tracked", 500)
    wait_until(lambda: list((tmp_path / "tracked").glob(".checkpoints/*/training.ckpt")))
    second = start(tmp_path, "tracked", 500, "--no-tracking")
    (_, shown), (_, waited) = first.communicate(timeout=240), second.communicate(timeout=240)
    assert [first.returncode, second.returncode] == [0, 0]
    assert "500/500" in shown
    assert "500/500" not in waited
    folder, tracked = only_record(tmp_path / "tracked")
    assert (tmp_path / "tracked" / "mlflow.db").exists()
    record = train_here(tmp_path, tracked)
    assert record.key == tracked["key"]
    assert record.weights_sha256 == tracked["weights_sha256"]
    assert (write_record(tmp_path, record) / "series.npz").read_bytes() == (folder / "series.npz").read_bytes()


def test_altered_record_is_said_and_trained_again_to_the_same_bits(
    call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    (tmp_path / "arm.yaml").write_text(ARM.format(steps=20))
    command = ("train", str(tmp_path / "arm.yaml"), "--seeds", "2", "--no-tracking")
    assert call_vgt(*command).code == 0
    folder, record = only_record(tmp_path / "results")
    content = (folder / "series.npz").read_bytes()
    (folder / "series.npz").write_bytes(content[:-7])
    assert read_record(tmp_path / "results", record["key"]) is None
    (said,) = (line for line in call_vgt("records", "verify").out.splitlines() if record["key"] in line)
    assert said == f"{folder}: damaged: it was altered after it was written: a checksum is wrong"
    assert f"plain: {said}; it is made anew" in call_vgt(*command).out.splitlines()
    assert (folder / "series.npz").read_bytes() == content
    assert "already trained on cpu" in " ".join(call_vgt(*command).out.split())


def test_runs_are_named_by_what_was_overridden_and_registered_models_need_tracking(
    call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    (tmp_path / "arm.yaml").write_text(ARM.format(steps=2))
    command = ("train", str(tmp_path / "arm.yaml"), "--seeds", "2", "--variant", "residual", "--set", "model.depth=3")
    refused = call_vgt(*command, "--no-tracking", "--register", "net")
    assert refused.refused
    assert "--no-tracking" in refused.err
    # A store that cannot be reached costs a line; what is to be sent is noted under its name.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = call_vgt(*command, "--register", "net", "--runs-per-seed")
    assert done.code == 0, done.err
    assert "`vgt track sync` sends them later" in " ".join(done.out.split())
    runs = [parcel for parcel in missed(tmp_path / "results") if isinstance(parcel, Run)]
    assert {run.label for run in runs} == {"plain residual depth=3 (seeds 0 to 1)"}
    assert [run.seed for run in runs] == [None, 0, 1]
    assert [parcel.name for parcel in missed(tmp_path / "results") if isinstance(parcel, Registration)] == ["net"]
