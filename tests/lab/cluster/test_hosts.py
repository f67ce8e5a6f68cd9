"""The cluster with hosts of its own: a network namespace each, joined by a bridge, whose cable can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster.conftest import arm
from vgtemplate.jobs.job import read_job
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.cluster.site import close_site
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs

_OURS = f"vgt{os.getpid()}"
"""Names of this process alone: what another one has left behind, or has just now, is not in the way."""
_NET, _PORT, _BRIDGE = f"10.213.{os.getpid() % 250}", 8786, f"{_OURS}b"
_SCHEDULER, _WORKERS = 2, (3, 4, 5)
_STEPS = 1000


def _ip(*words: str, must: bool = True) -> bool:
    return subprocess.run(["ip", *words], check=must, capture_output=not must).returncode == 0


def _has_namespaces() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    made = _ip("netns", "add", _OURS, must=False) and _ip("link", "add", _BRIDGE, "type", "bridge", must=False)
    _ip("link", "del", _BRIDGE, must=False)
    _ip("netns", "del", _OURS, must=False)
    return made


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _has_namespaces(), reason="network namespaces need root, and iproute2"),
]


class Host:
    """A host of the bridge, by the last number of its address; what runs there sees no other network."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name, self.address, self._cable = f"{_OURS}-{number}", f"{_NET}.{number}", f"{_OURS}c{number}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self._running: list[subprocess.Popen[bytes]] = []
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._cable, "master", _BRIDGE, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.name, "link", "set", device, "up")

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **{"OMP_NUM_THREADS": "1", "VGT_CHECKPOINT_SECONDS": "0.2", "PYTHONPATH": os.pathsep.join(sys.path)},
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s",
        }
        command = ["ip", "netns", "exec", self.name, sys.executable, "-m", module, "--host", self.address, *arguments]
        with (self.folder / "log").open("ab") as log:
            started = subprocess.Popen(
                [*command, "--no-dashboard"], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        self._running.append(started)
        return started

    def work(self) -> subprocess.Popen[bytes]:
        settings = ("--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(self.folder))
        return self.start("distributed.cli.dask_worker", f"tcp://{_NET}.{_SCHEDULER}:{_PORT}", *settings)

    def has_begun(self, job: Task) -> bool:
        scratch = self.folder / "dask-scratch-space" / "vgtemplate"
        return (scratch / ".checkpoints" / job.key / "training.ckpt").exists()

    def pull_cable(self) -> None:
        """From now on silence: no connection is ended, nothing arrives."""
        _ip("link", "set", self._cable, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        _ip("netns", "del", self.name, must=False)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    """Three hosts with a worker each; a fourth has the scheduler, and this one the command."""
    found: list[Host] = []
    try:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{_NET}.1/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        found += [Host(number, tmp_path / "hosts") for number in (_SCHEDULER, *_WORKERS)]
        found[0].start("distributed.cli.dask_scheduler", "--port", str(_PORT), "--no-show")
        for each in found[1:]:
            each.work()
        yield found[1:]
    finally:
        close_site()
        for each in found:
            each.close()
        _ip("link", "del", _BRIDGE, must=False)


def test_arm_of_a_host_whose_cable_was_pulled_is_trained_elsewhere_once(hosts: list[Host], tmp_path: Path) -> None:
    """Takes long since four Pythons start, and since a silent host is given up after some seconds only.

    What comes back when the cable is plugged in again gives no second result, and the records are those of one machine.
    """
    jobs = [arm("long", steps=_STEPS), *(arm(f"short-{number}", seeds=(number,)) for number in range(4))]
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    for job in jobs:
        run_job(job, here, here, "cpu")
    cut: list[Host] = []
    said: list[str] = []

    def watch(running: list[Task]) -> None:
        if not cut and jobs[0] in running and (found := [each for each in hosts if each.has_begun(jobs[0])]):
            cut.extend(found)
            found[0].pull_cable()
        elif cut and any("is gone" in text for text in said):
            cut[0].plug_in()

    how = How(there, there, 1, "cpu", cluster=f"tcp://{_NET}.{_SCHEDULER}:{_PORT}")
    ended = list(run_jobs(jobs, how, watch, said.append))
    assert sorted(job.name for job, failure in ended if failure is None) == sorted(job.name for job in jobs), said
    assert cut, "nobody pulled a cable"
    assert any("its worker tcp://" in text and "is gone" in text for text in said), said
    for job in jobs:
        ours, theirs = read_job(here, job.key), read_job(there, job.key)
        assert ours is not None
        assert theirs is not None
        assert ours.weights_sha256 == theirs.weights_sha256
        assert (here / job.key / "series.npz").read_bytes() == (there / job.key / "series.npz").read_bytes()
