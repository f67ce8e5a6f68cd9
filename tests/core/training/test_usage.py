"""Images per second and memory per replica: against tensors of known size and a clock of known speed."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vgtemplate.config.schema import ArmConfig
from vgtemplate.training import usage
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware
from vgtemplate.training.usage import Usage

CODE = """
import torch
from vgtemplate.training.usage import Usage
old = torch.ones(50_000_000)
used = Usage(torch.device("cpu"))
new = torch.ones(25_000_000)
del new
print(used.describe(1, 4)["megabytes_a_replica"])
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux tells the most memory since a moment")
def test_memory_is_what_is_taken_at_most_from_the_beginning_on() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(25, rel=0.2)


def test_images_per_second_are_those_of_all_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 104.0])
    monkeypatch.setattr(usage.time, "perf_counter", lambda: next(times))
    assert Usage(torch.device("cpu")).describe(2000, 10)["images_per_second"] == 500


def test_a_system_that_tells_nothing_leaves_the_memory_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_STATUS", "_CLEAR"):
        monkeypatch.setattr(usage, name, tmp_path / "absent" / name)
    assert set(Usage(torch.device("cpu")).describe(1, 1)) == {"images_per_second"}


def test_the_record_counts_the_images_that_were_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(Usage, "describe", lambda self, images, replicas: shown.append((images, replicas)) or {})
    config = ArmConfig.model_validate(
        {"data": {"dataset": "digits", "num_train": 100, "batch_size": 32}, "training": {"steps": 7}}
    )
    train_arm("a", config, [0, 1, 2], tmp_path, Hardware("cpu"))
    assert shown == [(7 * 32 * 3, 3)]
