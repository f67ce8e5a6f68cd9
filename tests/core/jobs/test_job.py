"""Whose record lies under a key: only that of the settings, the seeds and the data which the key stands for."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.key import code_of, hash_of
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import ForeignError, Job, Keys, describe_fault, key_of, open_job, read_job
from vgtemplate.jobs.schema import series_of_arm
from vgtemplate.jobs.stock import UNUSABLE, examine
from vgtemplate.records import SERIES, Record, RecordError, read_record, write_record


def plan(root: Path, depth: int = 2, seeds: tuple[int, ...] = (0, 1)) -> Job:
    config = ArmConfig.model_validate({"model": {"depth": depth}, "data": {"dataset": "digits"}})
    return Keys(root).job("it", "arm", config, seeds)


def record_of(job: Job, fingerprint: str) -> Record:
    data = {"name": "digits", "fingerprint": fingerprint}
    configuration = job.config.model_dump(mode="json")
    series = {name: np.zeros([2] * len(SERIES[name].axes)) for name in series_of_arm(configuration)}
    code = code_of(configuration)
    return Record(job.key, job.name, configuration, job.seeds, data, {}, 1.0, series, code=code)


@pytest.fixture(scope="module")
def fingerprint() -> str:
    from vgtemplate.config.schema import DataConfig
    from vgtemplate.data.sources import load_images

    return load_images(DataConfig(dataset="digits"), Path()).fingerprint


def test_record_of_the_job_is_read(tmp_path: Path, fingerprint: str) -> None:
    job = plan(tmp_path)
    assert describe_fault(tmp_path, job.key) == ""
    assert read_job(tmp_path, job.key) is None
    write_record(tmp_path, record_of(job, fingerprint))
    found = read_job(tmp_path, job.key)
    assert found is not None
    assert found.seeds == (0, 1)
    assert describe_fault(tmp_path, job.key) == ""


@pytest.mark.parametrize("other", ["settings", "seeds", "data", "code", "no code", "a check"])
def test_record_of_another_arm_under_the_key_is_not(tmp_path: Path, fingerprint: str, other: str) -> None:
    """Its key and its checksums are made to fit; what it says of itself is not the job's."""
    job = plan(tmp_path)
    foreign = {
        "settings": record_of(plan(tmp_path, depth=3), fingerprint),
        "seeds": record_of(plan(tmp_path, seeds=(2, 3)), fingerprint),
        "data": record_of(job, "0" * 64),
        "code": replace(record_of(job, fingerprint), code={"source": "0" * 64}),
        "no code": replace(record_of(job, fingerprint), code={}),
        "a check": replace(record_of(job, fingerprint), seeds=(), series={}),
    }[other]
    write_record(tmp_path, replace(foreign, key=job.key))
    assert read_record(tmp_path, job.key) is not None
    assert read_job(tmp_path, job.key) is None
    with pytest.raises(ForeignError) as caught:
        open_job(tmp_path, job.key)
    assert describe_fault(tmp_path, job.key) == f"{tmp_path}/{job.key}: foreign: {caught.value}; it is made anew"
    if other not in ("no code", "a check"):
        assert str(caught.value) == f"what it says of itself has the key {key_of(foreign)}"


def test_record_without_a_series_that_its_training_writes_cannot_be_used(tmp_path: Path, fingerprint: str) -> None:
    """A missing series would be a number without a value, and a claim that looks refuted."""
    job = plan(tmp_path)
    whole = record_of(job, fingerprint)
    assert {"train_loss", "test_loss", "gradient_rms", "bias_grad_norm", "probe_steps"} <= whole.series.keys()
    for name in whole.series:
        write_record(tmp_path, replace(whole, series={key: whole.series[key] for key in whole.series if key != name}))
        with pytest.raises(RecordError, match=f"it lacks the series {name}"):
            open_job(tmp_path, job.key)
    write_record(tmp_path, replace(whole, series={}))
    assert read_job(tmp_path, job.key) is None


def test_code_of_a_record_says_nothing_of_its_settings(tmp_path: Path, fingerprint: str) -> None:
    """What stands in a key beside the code cannot be given through the code."""
    job, other = plan(tmp_path), record_of(plan(tmp_path, depth=3, seeds=(2, 3)), fingerprint)
    settings = {"configuration": job.config.model_dump(mode="json"), "seeds": [0, 1], "fingerprint": fingerprint}
    assert key_of(replace(other, code={**other.code, **settings})) == other.key != job.key


def test_check_has_the_key_of_its_name_and_its_source(tmp_path: Path) -> None:
    made = {"check": "one", "source": "s"}
    key = hash_of(made)
    series, labels = {"quantities": np.array([[1.0]])}, {"quantity": ["q"]}
    record = Record(key, "one", {"check": "one"}, (), {}, {}, 0.1, series, labels, code={"source": "s"})
    write_record(tmp_path, record)
    assert read_job(tmp_path, key) is not None
    for foreign in (
        {"configuration": {"check": "two"}},
        {"code": {"source": "t"}},
        {"configuration": {}},
        {"code": {}},
    ):
        write_record(tmp_path, replace(record, **foreign))
        assert read_job(tmp_path, key) is None


def test_own_code_that_a_record_names_is_not_imported(
    tmp_path: Path, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    record = record_of(plan(tmp_path), fingerprint)
    configuration = {**record.configuration, "model": {"factory": "trap:make", "settings": {}}}
    own = replace(record, configuration=configuration, code={**record.code, "own": {"trap:make": "0"}})
    own = replace(own, key=key_of(own))
    write_record(tmp_path, own)
    assert read_job(tmp_path, own.key) is not None


def test_damaged_record_is_unusable(tmp_path: Path, fingerprint: str) -> None:
    job = plan(tmp_path)
    path = write_record(tmp_path, record_of(job, fingerprint)) / "record.json"
    content: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"wall_seconds": 2.0}))
    assert read_job(tmp_path, job.key) is None
    fault = "damaged: it was altered after it was written: a checksum is wrong"
    assert describe_fault(tmp_path, job.key) == f"{tmp_path}/{job.key}: {fault}; it is made anew"


@pytest.mark.parametrize("damage", ["altered", "foreign", "half", "no file"])
def test_a_record_is_met_with_the_words_of_whoever_lists_it(tmp_path: Path, fingerprint: str, damage: str) -> None:
    job = plan(tmp_path)
    folder = write_record(tmp_path, record_of(job, fingerprint))
    if damage == "foreign":
        write_record(tmp_path, replace(record_of(plan(tmp_path, depth=3), fingerprint), key=job.key))
    elif damage == "altered":
        (folder / "series.npz").write_bytes(b"other")
    else:
        (folder / "series.npz").unlink()
        if damage == "no file":
            os.mkfifo(folder / "series.npz")
    (entry,) = examine(tmp_path)
    assert entry.state in UNUSABLE
    assert describe_fault(tmp_path, job.key) == f"{folder}: {entry.state}: {entry.why}; it is made anew"
