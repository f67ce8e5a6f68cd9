"""Whose record lies under a key: only that of the settings, the seeds and the data which the key stands for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job, Keys, is_unusable, read_job
from vgtemplate.records import Record, read_record, write_record


def plan(root: Path, depth: int = 2, seeds: tuple[int, ...] = (0, 1)) -> Job:
    config = ArmConfig.model_validate({"model": {"depth": depth}, "data": {"dataset": "digits"}})
    return Keys(root).job("it", "arm", config, seeds)


def record_of(job: Job, fingerprint: str) -> Record:
    data = {"name": "digits", "fingerprint": fingerprint}
    series = {"test_accuracy": np.full(len(job.seeds), 0.9)}
    return Record(job.key, job.name, job.config.model_dump(mode="json"), job.seeds, data, {}, 1.0, series)


@pytest.fixture(scope="module")
def fingerprint() -> str:
    from vgtemplate.config.schema import DataConfig
    from vgtemplate.data.sources import load_images

    return load_images(DataConfig(dataset="digits"), Path()).fingerprint


def test_record_of_the_job_is_read(tmp_path: Path, fingerprint: str) -> None:
    job = plan(tmp_path)
    assert not is_unusable(tmp_path, job.key)
    assert read_job(tmp_path, job.key) is None
    write_record(tmp_path, record_of(job, fingerprint))
    found = read_job(tmp_path, job.key)
    assert found is not None
    assert found.seeds == (0, 1)
    assert not is_unusable(tmp_path, job.key)


@pytest.mark.parametrize("other", ["settings", "seeds", "data"])
def test_record_of_another_arm_under_the_key_is_not(tmp_path: Path, fingerprint: str, other: str) -> None:
    """Its key and its checksums are made to fit; what it says of itself is not the job's."""
    job = plan(tmp_path)
    foreign = {
        "settings": record_of(plan(tmp_path, depth=3), fingerprint),
        "seeds": record_of(plan(tmp_path, seeds=(2, 3)), fingerprint),
        "data": record_of(job, "0" * 64),
    }[other]
    write_record(tmp_path, replace(foreign, key=job.key))
    assert read_record(tmp_path, job.key) is not None
    assert read_job(tmp_path, job.key) is None
    assert is_unusable(tmp_path, job.key)


def test_damaged_record_is_unusable(tmp_path: Path, fingerprint: str) -> None:
    job = plan(tmp_path)
    path = write_record(tmp_path, record_of(job, fingerprint)) / "record.json"
    content: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"wall_seconds": 2.0}))
    assert read_job(tmp_path, job.key) is None
    assert is_unusable(tmp_path, job.key)
