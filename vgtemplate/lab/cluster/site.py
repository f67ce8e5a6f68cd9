"""From what `--cluster` says to a client: a scheduler that runs, processes of this machine, jobs of Slurm."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import require
from vgtemplate.lab.crew import asked_threads, share_of_cores
from vgtemplate.lab.worker import How, deaf_to_ctrl_c

CONNECT_SECONDS = 30.0
_EXPORTED = ("PATH", "HOME", "LANG", "PYTHONPATH", "OMP_NUM_THREADS", "VGT_DATA_DIR", "VGT_CHECKPOINT_SECONDS")
"""Of the environment, what a job of Slurm is given: never a credential."""


class Site:
    """A cluster, its client, and the number of threads of each job.

    Raises:
        UserError: it cannot be reached or started.
    """

    def __init__(self, how: How, folder: Path) -> None:
        assert how.cluster is not None
        # What is refused or lost is said in our words.
        for name in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        kind, _, rest = how.cluster.partition(":")
        self._cluster: Any = None
        self.threads = how.threads or asked_threads() or 1
        if kind == "local":
            self.threads = how.threads or share_of_cores(int(rest))
            self._cluster = _local(int(rest), folder)
        elif kind == "slurm":
            self._cluster = _slurm(rest, how.num_workers, self.threads, folder)
        self.address = how.cluster if self._cluster is None else self._cluster.scheduler_address
        self.name = how.cluster if how.cluster == self.address else f"{how.cluster} (its scheduler: {self.address})"
        self.client = self.connect()

    def connect(self) -> Client:
        """Return a new client; the old one has lost the scheduler, or there was none."""
        target = self.address if self._cluster is None else self._cluster
        try:
            return Client(target, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TypeError, ValueError) as error:
            raise UserError(f"no Dask scheduler answers at {self.address} ({_gist(error)})") from None

    def reconnect(self) -> bool:
        """Connect again; return whether the scheduler is back."""
        with contextlib.suppress(UserError):
            self.client = self.connect()
            return True
        return False

    def close(self) -> None:
        """Leave the cluster; end it if it was started for this."""
        with contextlib.suppress(Exception):
            self.client.close(timeout=5)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=20)


_open: dict[tuple[str | None, int, int | None], Site] = {}
"""The one that is open: a command that runs jobs several times must not wait for Slurm each time."""


def open_site(how: How, folder: Path) -> Site:
    """Return a cluster, the open one if it is that; it is closed when the process ends (UserError as in `Site`)."""
    wanted = how.cluster, how.num_workers, how.threads
    if wanted not in _open:
        close_site()
        _open[wanted] = Site(how, folder)
    return _open[wanted]


@atexit.register
def close_site() -> None:
    """Leave the cluster that is open, if there is one."""
    while _open:
        _open.popitem()[1].close()


def _gist(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _local(number: int, folder: Path) -> LocalCluster:
    settings: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    # Ctrl-C reaches the whole group of processes: this one decides.
    with deaf_to_ctrl_c():
        return LocalCluster(n_workers=number, local_directory=str(folder / "scratch"), **settings)


def _slurm(partition: str, number: int, threads: int, folder: Path) -> Any:
    require("dask_jobqueue")
    from dask_jobqueue import SLURMCluster

    known = dask.config.get("jobqueue.slurm", {})
    exported = ",".join(name for name in _EXPORTED if name in os.environ)
    extra = [*(known.get("job-extra-directives") or []), f"--export={exported}"]
    try:
        cluster = SLURMCluster(
            queue=partition,
            cores=1,
            processes=1,
            memory=known.get("memory") or "4GB",
            job_cpu=known.get("job-cpu") or threads,
            job_extra_directives=extra,
            local_directory=known.get("local-directory") or str(folder / "scratch"),
            log_directory=known.get("log-directory") or str(folder / "logs"),
            scheduler_options={"dashboard_address": ":0"},
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"slurm:{partition}: no cluster can be started ({_gist(error)})") from None
    # A job that ends, at its time limit or otherwise, is followed by another.
    cluster.adapt(minimum=number, maximum=number, interval="5s", wait_count=1)
    return cluster
