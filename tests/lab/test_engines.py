"""What every engine keeps: the worker processes of one machine, and a cluster. One test for both, real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clusters import Cluster, is_asked_to_end, kill, resume, stop, wait_until
from tests.lab.cluster.conftest import arm, cluster  # noqa: F401
from tests.processes import holder_of
from vgtemplate.jobs.job import read_job
from vgtemplate.jobs.locks import lock_now
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.check_job import CheckJob, plan_check
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs
from vgtemplate.locking import release

pytestmark = pytest.mark.slow


class Engine:
    """How jobs are run on it, and which process runs one."""

    def __init__(self, how: How, folder: Path) -> None:
        self.how, self._locks, self.checkpoints = how, folder / ".locks", folder / ".checkpoints"

    def holder(self) -> int | None:
        """The process that trains something; None while nobody does."""
        return next((pid for path in self._locks.glob("*.lock") if (pid := holder_of(path)) is not None), None)


@pytest.fixture(params=["processes", "cluster"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("VGT_CHECKPOINT_SECONDS", "0.05")
    how = How(tmp_path, tmp_path, 2, "cpu", threads=1)
    if request.param == "processes":
        yield Engine(how, tmp_path)
    else:
        found: Cluster = request.getfixturevalue("cluster")
        yield Engine(how._replace(cluster=found.address), found.scratch)


def kill_trainers(engine: Engine, number: int) -> list[int]:
    """Kill the next processes that train, one after the other, so many of them."""
    killed = list[int]()

    def watch() -> None:
        while len(killed) < number:
            if (holder := engine.holder()) is not None and holder not in killed:
                kill(holder)
                killed.append(holder)
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    return killed


def hold_until_asked_to_end(pid: int | None) -> None:
    """Stop a process until SIGTERM waits for it: on a busy machine its job could end before it is asked to."""
    assert pid is not None
    stop(pid)
    threading.Thread(target=lambda: (wait_until(lambda: is_asked_to_end(pid)), resume(pid)), daemon=True).start()


def test_records_are_bit_for_bit_those_of_this_process(engine: Engine, tmp_path: Path) -> None:
    jobs = [arm("five"), arm("nine", steps=9), plan_check("it", "derivative_bounds")]
    here = tmp_path / "here"
    here.mkdir()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for job in jobs[:2]:
            run_job(job, here, tmp_path, "cpu")  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    shown: list[int] = []
    done = dict(run_jobs(jobs, engine.how, watch=lambda running: shown.append(len(running))))
    assert {job.name: failure for job, failure in done.items()} == dict.fromkeys(["five", "nine", "derivative_bounds"])
    assert max(shown) == 2
    for job in jobs[:2]:
        ours, theirs = read_job(here, job.key), read_job(tmp_path, job.key)
        assert ours is not None
        assert theirs is not None
        assert ours.weights_sha256 == theirs.weights_sha256
        assert (here / job.key / "series.npz").read_bytes() == (tmp_path / job.key / "series.npz").read_bytes()
    assert not list(tmp_path.glob(".writing-*"))
    assert list(run_jobs([], engine.how)) == []


def test_what_fails_is_one_line_and_the_others_go_on(engine: Engine, tmp_path: Path) -> None:
    bad = CheckJob("0" * 20, "no_such_check", "it")
    done = dict(run_jobs([bad, arm("good")], engine.how))
    assert [failure for job, failure in done.items() if job.name == "good"] == [None]
    (failure,) = [failure for job, failure in done.items() if job.name == "no_such_check"]
    assert failure is not None
    assert len(failure.splitlines()) == 1
    assert "no_such_check" in failure


@pytest.mark.parametrize("times", [1, 2])
def test_arm_whose_process_is_killed_is_run_once_more(engine: Engine, tmp_path: Path, times: int) -> None:
    said: list[str] = []
    job = arm("long", seeds=(times, times + 5), steps=150)
    killed = kill_trainers(engine, times)
    ((_, failure),) = run_jobs([job], engine.how, say=said.append)
    assert len(killed) == times
    death = "its worker was killed by SIGKILL (out of memory?)"
    assert [text for text in said if text.startswith("it:")] == [f"it: long: {death}; the arm is run again"]
    assert failure == (None if times == 1 else f"{death}, a second time")
    assert (read_job(tmp_path, job.key) is not None) == (times == 1)


def test_caller_that_stops_leaves_a_checkpoint_and_the_next_goes_on_from_it(engine: Engine, tmp_path: Path) -> None:
    job = arm("stopped", seeds=(3, 4), steps=3000)
    folder = engine.checkpoints / job.key

    def watch(jobs: list[Task]) -> None:
        if jobs:
            wait_until(lambda: (folder / "training.ckpt").exists())
            hold_until_asked_to_end(engine.holder())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([job], engine.how, watch=watch))
    assert engine.holder() is None
    assert (folder / "training.ckpt").exists()
    assert dict(run_jobs([job], engine.how)) == {job: None}
    found = read_job(tmp_path, job.key)
    assert found is not None
    assert [part["from_step"] > 0 for part in found.environment["parts"]] == [False, True]
    assert not folder.exists()


def test_arm_in_shares_of_its_seeds_leaves_the_record_of_the_whole(engine: Engine, tmp_path: Path) -> None:
    job = arm("shared", seeds=range(5), precision="64-true")
    whole = tmp_path / "whole"
    whole.mkdir()
    run_job(job, whole, tmp_path, "cpu")
    said = dict(run_jobs([job], engine.how._replace(share=2)))
    assert said == {job: None}
    ours, joined = read_job(whole, job.key), read_job(tmp_path, job.key)
    assert ours is not None
    assert joined is not None
    assert (joined.seeds, joined.name, joined.series.keys()) == (ours.seeds, ours.name, ours.series.keys())
    for name, array in ours.series.items():
        np.testing.assert_allclose(joined.series[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    assert [path.parent.name for path in tmp_path.glob("[!.]*/record.json") if path.parent.parent == tmp_path] == [
        job.key
    ]


def test_job_that_another_process_runs_is_waited_for_and_not_run_twice(engine: Engine, tmp_path: Path) -> None:
    job, other = arm("theirs", seeds=(7,)), tmp_path / "other"
    other.mkdir()
    run_job(job, other, tmp_path, "cpu")
    (tmp_path / "first").mkdir()
    lock, begun = lock_now(tmp_path, job.key), time.monotonic()

    def watch(jobs: list[Task]) -> None:
        assert jobs == [job] or engine.how.cluster
        if time.monotonic() - begun > 1.5 and not (tmp_path / job.key).exists():
            (other / job.key).rename(tmp_path / job.key)
            release(lock)

    assert dict(run_jobs([job], engine.how, watch=watch)) == {job: None}
    assert engine.how.cluster is None or not list(engine.checkpoints.glob(job.key))
