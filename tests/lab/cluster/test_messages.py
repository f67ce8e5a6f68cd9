"""What goes over the wire: nothing of this machine, nothing large, and nothing that stays with the scheduler."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from distributed import Client

from tests.clusters import Cluster, Wire
from tests.lab.cluster.conftest import arm
from vgtemplate.jobs.job import Job, open_job
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.cluster.order import read_order, write_order
from vgtemplate.lab.cluster.parcel import PIECE_BYTES, pack, unpack
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs
from vgtemplate.records import Record, RecordError, write_record

MANY = int(os.environ.get("VGT_TEST_MANY", "300"))
"""Small jobs; docs/cluster.md has the figures of more."""
KEPT = 300
"""Jobs of which all that is sent is kept and looked at."""


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("one")
    return run_job(arm("one", seeds=(0,)), folder, folder, "cpu")


def of_seeds(record: Record, jobs: Sequence[Job], results: Path) -> None:
    """Write the records of jobs, as if they had been trained: their settings are those of `record`."""
    results.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        write_record(results, replace(record, key=job.key, seeds=job.seeds))


def test_order_says_what_the_job_is_and_no_more(tmp_path: Path) -> None:
    job, how = arm("one"), How(tmp_path / "results", tmp_path / "data", 3, "cpu", fresh=True)
    text = write_order(job, how, 2)
    assert tuple(read_order(text)) == (job, "cpu", True, 2)
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {"key", "name", "experiment", "arm", "accelerator", "fresh", "threads"}


def test_parcel_arrives_whole_or_not_at_all(record: Record, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir(), here.mkdir()
    write_record(there, record)
    content = pack(there, record.key)
    for wrong in (content[:-30], b"", content.replace(b'"seeds"', b'"seedz"')):
        with pytest.raises(RecordError):
            unpack(wrong, here, record.key)
        assert list(here.iterdir()) == []
    unpack(content, here, record.key)
    assert open_job(here, record.key).weights_sha256 == record.weights_sha256
    assert [path.name for path in here.iterdir()] == [record.key]
    other = arm("one", seeds=(1,)).key
    with pytest.raises(RecordError):
        unpack(content, here, other)


def num_kinds(dask_scheduler: Any) -> int:
    """Of how many kinds of tasks a scheduler keeps statistics."""
    return len(dask_scheduler.task_prefixes)


@pytest.mark.slow
def test_nothing_of_this_machine_is_sent_and_no_message_is_large(
    cluster: Cluster, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of small jobs, one that is trained, and one whose record is of fifteen megabytes."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-secret-of-mine")
    small = [arm("small", seeds=(seed,)) for seed in range(1000, 1000 + MANY)]
    large, trained = arm("large", seeds=(500,)), arm("trained", seeds=(600, 601))
    noise: Any = np.random.default_rng(0).random((1, 2_000_000))
    of_seeds(record, small, cluster.scratch)
    of_seeds(replace(record, series={**record.series, "weight_norm": noise}), [large], cluster.scratch)
    wire, results = Wire(cluster.port), tmp_path / "results"
    wire.keeps = True
    results.mkdir()
    scheduler, sizes = psutil.Process(cluster.scheduler.pid), list[int]()
    how = How(results, tmp_path / "data", 1, "cpu", cluster=wire.address)
    for number, (_, failure) in enumerate(run_jobs([*small, large, trained], how)):
        assert failure is None
        wire.keeps = number < KEPT
        if number % (MANY // 6) == MANY // 6 - 1:
            sizes.append(scheduler.memory_info().rss)
    print(f"{MANY} jobs: largest message {wire.largest:,} bytes, scheduler {[round(size / 1e6) for size in sizes]} MB")
    assert len(list(results.glob("*/record.json"))) == MANY + 2
    np.testing.assert_array_equal(open_job(results, large.key).series["weight_norm"], noise)
    assert max(sizes[2:]) - sizes[1] < 20e6, sizes
    with Client(cluster.address, set_as_default=False) as client:
        assert client.run_on_scheduler(num_kinds) < 10
    assert PIECE_BYTES < wire.largest < 10e6
    sent = bytes(wire.seen)
    has_order = trained.key.encode() in sent
    assert has_order
    words = ("a-secret-of-mine", str(tmp_path), str(Path.cwd()), str(Path.home()))
    # Searched for beforehand: to explain what fails, pytest would print all that was sent.
    found = {word: sent[(at := sent.find(word.encode())) - 60 : at + 60] for word in words if word.encode() in sent}
    assert found == {}
    # What was fetched is not kept.
    assert not [key for key in (small[0].key, large.key, trained.key) if (cluster.scratch / key).exists()]
