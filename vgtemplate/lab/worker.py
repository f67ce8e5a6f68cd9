"""A process that runs one job after another and can be killed without harm to any other.

What loads torch is imported inside the functions that the process runs, so that its parent does without.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from vgtemplate.config.errors import Stopped, UserError
from vgtemplate.config.extras import explain
from vgtemplate.config.stopping import send_again_what_is_swallowed
from vgtemplate.jobs.job import Job
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.check_job import run_check
from vgtemplate.lab.plan import Task
from vgtemplate.records import Record
from vgtemplate.text import as_note
from vgtemplate.training.memory import give_memory_back

_STOP_SECONDS = 20.0
"""How long a worker that was asked to end may take over its checkpoint."""
_LIGHTNINGS = ("pytorch_lightning", "lightning.pytorch")


class How(NamedTuple):
    """How and where jobs are run: what `run_job` takes, and the processes that share them."""

    results: Path
    root: Path
    num_workers: int
    """Most processes."""
    accelerator: str = "auto"
    fresh: bool = False
    threads: int | None = None
    """Of each process; None: the cores are shared out."""
    cluster: str | None = None
    """A cluster that runs them, as `--cluster` names it; None: processes of this machine."""
    share: int | None = None
    """Most seeds of a job: an arm that has more is trained in shares and joined; None: all at once."""


def _end_with_the_parent() -> None:
    """End this worker when the process that started it is gone, however it went; no record is left half written.

    As if it were asked to: what trains writes its checkpoint first.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_STOP_SECONDS)
        os._exit(1)


def run_task(task: Task, results: Path, root: Path, accelerator: str = "auto", fresh: bool = False) -> Record:
    """Run a task of either kind in this process; arguments and errors as in `run_job`."""
    if isinstance(task, Job):
        return run_job(task, results, root, accelerator, fresh)
    return run_check(task, results, fresh)


def _attempt(task: Task, how: How) -> str | None:
    """Run a task; return what went wrong, or None."""
    try:
        run_task(task, how.results, how.root, how.accelerator, how.fresh)
    except UserError as error:
        return str(error)
    except Exception as error:  # one arm's failure must not take the others' results with it
        if isinstance(error, ImportError) and (text := explain(error)) is not None:
            return text
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        give_memory_back()
    return None


def _serve(connection: Connection, threads: int, lightnings: Sequence[str]) -> None:
    """Run the jobs that come down the connection until it is closed.

    Args:
        threads: of this process.
        lightnings: those that the code of the user's own has imported in the parent, which decides what trains here.
    """
    import torch

    for name in lightnings:
        importlib.import_module(name)
    warnings.formatwarning = as_note
    _be_no_part_of_slurm()
    # While an arm trains, SIGTERM means a checkpoint first (callbacks/checkpointer.py). At any other time it raises
    # Stopped, so that a half-written record is taken away.
    signal.signal(signal.SIGTERM, _stop)
    send_again_what_is_swallowed(_stop)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        while True:
            try:
                task, how = connection.recv()
            except EOFError:
                # Nothing is left to keep: asked once more, by the end of the parent, it ends without a word.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                return
            connection.send(_attempt(task, how))
    except Stopped as stopped:
        os._exit(128 + stopped.signal_number)


def _be_no_part_of_slurm() -> None:
    """Hide from Lightning that this may be a job of Slurm: it would take that for a training of its own on nodes."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        del os.environ[name]
    warnings.filterwarnings("ignore", message="The `srun` command is available")


def _stop(number: int, _: object) -> None:
    raise Stopped("asked to end", number)


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore SIGINT, as will a process started meanwhile: Ctrl-C reaches the whole group, and the parent decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Worker:
    """A process of its own for one job at a time; `connection` is ready when the job or the process has ended."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        lightnings = [name for name in _LIGHTNINGS if name in sys.modules]
        self._process = context.Process(target=_serve, args=(theirs, threads, lightnings), daemon=True)
        with deaf_to_ctrl_c():
            self._process.start()
        theirs.close()
        self.job: Task | None = None

    def give(self, job: Task, how: How) -> None:
        """Hand out a job."""
        self.job = job
        # A process that has died is noticed where its answer is read.
        with contextlib.suppress(OSError):
            self.connection.send((job, how))

    def take(self) -> tuple[Task, str | None, str | None]:
        """Return the job that has ended, what went wrong with it, and what killed the process: None if nothing did."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, self.connection.recv(), None
        except (EOFError, OSError):
            self._process.join()
            return job, None, describe_exit(self._process.exitcode or 0)

    def ask_to_end(self) -> None:
        """Ask for the end: an idle worker ends, one that trains writes its checkpoint first."""
        self.connection.close()
        if self.job is not None:
            self._process.terminate()

    def end(self) -> None:
        """Wait for the end that was asked for, but not for ever."""
        self._process.join(_STOP_SECONDS)
        self._process.kill()
        self._process.join()


def describe_exit(code: int) -> str:
    """Say how a process ended, by its exit code as multiprocessing gives it."""
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
