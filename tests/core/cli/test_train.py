"""`vgt train` as a person uses it: real processes, stopped, started again, side by side, with and without MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import read_record, write_record
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

ARM = """
arms:
  plain:
    data: {{dataset: digits, num_train: 200}}
    model: {{depth: 4, width: 16}}
    training: {{steps: {steps}}}
"""


def start(folder: Path, results: str, steps: int, *arguments: str) -> subprocess.Popen[str]:
    (folder / "arm.yaml").write_text(ARM.format(steps=steps))
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | {
        "VGT_RESULTS_DIR": str(folder / results),
        "VGT_CHECKPOINT_SECONDS": "0.05",
        "OMP_NUM_THREADS": "1",
    }
    code = "from vgtemplate.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", str(folder / "arm.yaml"), "--seeds", "2", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def only_record(results: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = results.glob("*/record.json")
    return path.parent, json.loads(path.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_goes_on_where_it_was(tmp_path: Path, number: int, code: int) -> None:
    stopped = start(tmp_path, "stopped", 1200, "--no-tracking")
    wait_until(lambda: list((tmp_path / "stopped").glob(".checkpoints/*/training.ckpt")))
    stopped.send_signal(number)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == code
    assert "plain: stopped at step" in errors.splitlines()[-1]
    assert not list((tmp_path / "stopped").glob("*/record.json"))
    again, whole = start(tmp_path, "stopped", 1200, "--no-tracking"), start(tmp_path, "whole", 1200, "--no-tracking")
    assert [process.wait(240) for process in (again, whole)] == [0, 0]
    (folder, record), (other, uninterrupted) = only_record(tmp_path / "stopped"), only_record(tmp_path / "whole")
    assert record["environment"]["parts"][1]["from_step"] > 0
    assert "parts" not in uninterrupted["environment"]
    assert record["weights_sha256"] == uninterrupted["weights_sha256"]
    assert (folder / "series.npz").read_bytes() == (other / "series.npz").read_bytes()


@pytest.mark.slow
def test_mlflow_and_progress_change_nothing_and_a_second_process_waits(tmp_path: Path) -> None:
    """With MLflow, progress and a second process that wants the same, against this process without any of them."""
    first = start(tmp_path, "tracked", 1000)
    wait_until(lambda: list((tmp_path / "tracked").glob(".checkpoints/*/training.ckpt")))
    second = start(tmp_path, "tracked", 1000, "--no-tracking")
    (output, _), (waited, _) = first.communicate(timeout=240), second.communicate(timeout=240)
    assert [first.returncode, second.returncode] == [0, 0]
    assert "1000/1000" in output
    assert "1000/1000" not in waited
    folder, tracked = only_record(tmp_path / "tracked")
    assert (tmp_path / "tracked" / "mlflow.db").exists()
    config = ArmConfig.model_validate(tracked["configuration"])
    record, _ = train_arm("plain", config, [0, 1], tmp_path, Hardware("cpu", threads=1))
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
    assert "incomplete or altered" in " ".join(call_vgt(*command).out.split())
    assert (folder / "series.npz").read_bytes() == content
    assert "already trained" in " ".join(call_vgt(*command).out.split())
