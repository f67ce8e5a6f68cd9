"""What a cluster does when it is disturbed: workers and schedulers are killed, cut off, others than they should be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster, Wire, kill, resume, stop, wait_until
from tests.lab.cluster.conftest import arm
from vgtemplate.config.errors import UserError
from vgtemplate.jobs.job import Job, read_job
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.cluster import introduction, site
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs

pytestmark = pytest.mark.slow
LONG = 2000
"""Steps: an arm of fewer may have ended before anybody disturbs it."""


class Run:
    """Jobs that are run on a cluster; `disturb` is called once, when `when` holds, with what is running."""

    def __init__(self, cluster: Cluster, results: Path, disturb: Callable[[], object] = lambda: None) -> None:
        self.how = How(results, results, 1, "cpu", cluster=cluster.address)
        self.said: list[str] = []
        self._cluster, self._disturb = cluster, disturb
        self.is_disturbed = False

    def __call__(self, *jobs: Job) -> list[tuple[Task, str | None]]:
        return list(run_jobs(jobs, self.how, self._watch, self.said.append))

    def _watch(self, jobs: list[Task]) -> None:
        has_begun = any((self._cluster.scratch / ".checkpoints" / job.key / "training.ckpt").exists() for job in jobs)
        if has_begun and not self.is_disturbed:
            self.is_disturbed = True
            self._disturb()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the long arm, which nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(arm("long", steps=LONG), folder, folder, "cpu")
    return folder


def is_undisturbed(job: Job, results: Path, whole: Path) -> bool:
    """Say whether a record is bit for bit that of a training which nobody disturbed."""
    ours, theirs = read_job(whole, job.key), read_job(results, job.key)
    assert ours is not None
    assert theirs is not None
    assert ours.weights_sha256 == theirs.weights_sha256
    return (whole / job.key / "series.npz").read_bytes() == (results / job.key / "series.npz").read_bytes()


def worker_of(cluster: Cluster, address: str) -> int:
    """The process of a worker, by its address."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        return int(client.run(os.getpid, workers=[address])[address])


def test_killed_worker_costs_no_verdict_and_its_arm_goes_on_elsewhere(
    fresh_cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    """Takes its time, as those below do: a cluster of its own, and an arm that is long enough to be disturbed."""
    workers = [fresh_cluster.start_worker()]

    def disturb() -> None:
        kill(workers[0].pid)
        workers.append(fresh_cluster.start_worker())

    run, job = Run(fresh_cluster, tmp_path, disturb), arm("long", steps=LONG)
    assert run(job) == [(job, None)]
    assert any(text.startswith("it: long: its worker tcp://") and "is gone" in text for text in run.said), run.said
    found = read_job(tmp_path, job.key)
    assert found is not None
    assert found.environment["parts"][-1]["from_step"] > 0
    assert is_undisturbed(job, tmp_path, whole)


def test_worker_that_is_cut_off_loses_its_arm_and_is_used_again_when_it_is_back(
    fresh_cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    wire = Wire(fresh_cluster.port)
    first = fresh_cluster.start_worker(wire.address)

    def disturb() -> None:
        wire.cut()
        first.join(60)  # a worker of Dask ends when it has lost its scheduler
        assert first.exitcode is not None
        wire.mend()
        fresh_cluster.start_worker(wire.address)

    run, job = Run(fresh_cluster, tmp_path, disturb), arm("long", steps=LONG)
    assert run(job) == [(job, None)]
    assert any("is gone" in text for text in run.said), run.said
    assert is_undisturbed(job, tmp_path, whole)
    wire.close()


def test_killed_scheduler_is_waited_for_and_the_work_goes_on(
    fresh_cluster: Cluster, whole: Path, tmp_path: Path
) -> None:
    """Takes its time: the worker that has lost its scheduler ends, and all are started again."""
    worker = fresh_cluster.start_worker()

    def disturb() -> None:
        fresh_cluster.scheduler.kill()
        worker.join(60)
        fresh_cluster.restart_scheduler()
        fresh_cluster.start_worker()

    run, job = Run(fresh_cluster, tmp_path, disturb), arm("long", steps=LONG)
    assert run(job) == [(job, None)]
    assert "it: long: the scheduler has lost it; the arm is run again" in run.said
    assert is_undisturbed(job, tmp_path, whole)


def test_slow_worker_gives_no_second_result(fresh_cluster: Cluster, whole: Path, tmp_path: Path) -> None:
    """It is silent until the scheduler takes it for dead, and comes back when its arm is trained elsewhere.

    Takes its time: the scheduler's patience, and an arm that is trained twice.
    """
    slow = fresh_cluster.start_worker()

    def disturb() -> None:
        stop(slow.pid)
        fresh_cluster.start_worker()

    run, jobs = Run(fresh_cluster, tmp_path, disturb), [arm("long", steps=LONG), arm("short", seeds=(8,))]

    def say(text: str) -> None:
        run.said.append(text)
        if "is gone" in text:
            resume(slow.pid)

    found = list(run_jobs(jobs, run.how, run._watch, say))
    assert sorted(job.name for job, _ in found) == ["long", "short"]
    assert [failure for _, failure in found] == [None, None]
    assert any("is gone" in text for text in run.said), run.said
    assert len(list(tmp_path.glob("*/record.json"))) == 2
    assert is_undisturbed(jobs[0], tmp_path, whole)


def be_of_another_version() -> None:
    introduction._version = lambda name: "1.2.3" if name == "torch" else "none"


def have_other_data() -> None:
    introduction.fingerprint = lambda config, root: "another"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (be_of_another_version, "it has torch 1.2.3, and here it is "),
        (have_other_data, "its data set digits is another than the one here (fingerprint another, here "),
    ],
)
def test_worker_that_is_not_like_us_is_refused_in_one_line(
    cluster: Cluster, tmp_path: Path, prepare: Callable[[], None], reason: str
) -> None:
    other = Cluster(tmp_path / "other")
    other.start_worker(prepare=prepare)
    run = Run(other, tmp_path)
    with pytest.raises(UserError, match="no worker of the cluster can be used: worker tcp://") as refused:
        run(arm("one"))
    assert reason in str(refused.value)
    assert not list(tmp_path.glob("*/record.json"))
    site.close_site()
    # Beside one that is, it gets nothing.
    other.start_worker()
    wait_until(lambda: number_of_workers(other) == 2)
    assert [failure for _, failure in run(arm("one"))] == [None]
    assert sum("is refused" in text for text in run.said) == 2
    site.close_site()
    other.close()


def number_of_workers(cluster: Cluster) -> int:
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


@pytest.mark.real_data
def test_worker_without_the_data_set_is_sent_it_or_is_told_where_it_is_missing(
    fresh_cluster: Cluster, mnist_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgtemplate.data.checksums import verify
    from vgtemplate.jobs.job import Keys

    monkeypatch.chdir(mnist_root.parent)
    job = Keys(mnist_root).job("it", "real", arm("one").config.model_copy(update={"data": _mnist()}), (0,))
    nowhere = tmp_path / "a-file"
    nowhere.touch()
    worker = fresh_cluster.start_worker(VGT_DATA_DIR=str(nowhere))
    run = Run(fresh_cluster, tmp_path)
    run.how = run.how._replace(root=mnist_root)
    with pytest.raises(UserError, match=f"data set mnist is not there, and {nowhere} cannot be written"):
        run(job)
    worker.kill()
    fresh_cluster.start_worker(VGT_DATA_DIR=str(tmp_path / "data"))
    assert run(job) == [(job, None)]
    assert any(f"data set mnist is not in {tmp_path / 'data'}; it is sent there" in text for text in run.said)
    assert {state.state for state in verify("mnist", tmp_path / "data")} == {"ok"}


def _mnist() -> Any:
    from vgtemplate.config.schema import DataConfig

    return DataConfig(dataset="mnist", num_train=200, num_test=100)


def test_folder_of_this_machine_is_not_sent(cluster: Cluster, tmp_path: Path) -> None:
    job = arm("pictures")
    data = job.config.data.model_copy(update={"dataset": "image_folder", "path": "/home/me/pictures"})
    pictures = Job(job.key, job.name, "it", job.config.model_copy(update={"data": data}), job.seeds)
    with pytest.raises(UserError, match=r"it: pictures: data\.path names a folder of this machine \(/home/me/pictures"):
        Run(cluster, tmp_path)(pictures)


def test_address_where_nobody_answers_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "CONNECT_SECONDS", 1.0)
    how = How(tmp_path, tmp_path, 1, "cpu", cluster="tcp://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(run_jobs([arm("one")], how))
