"""A process that runs one job after another and can be killed without harm to any other.

The heavy rooms are imported inside the functions that the process runs, so that its parent does without torch.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vgtemplate.config.errors import Stopped, UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record, checkpoint_path, drop_checkpoints, drop_leftovers, read_record, write_record
from vgtemplate.reproduce.locks import hold
from vgtemplate.reproduce.plan import Job

if TYPE_CHECKING:
    from vgtemplate.training.module import PopulationModule

_STOP_SECONDS = 20.0
"""How long a worker that was asked to end may take over its checkpoint."""


def _run_check(job: Job, check: str) -> Record:
    from vgtemplate.claims.exact import CHECKS_FUNCTIONS

    started = time.perf_counter()
    quantities = CHECKS_FUNCTIONS[check]()
    return Record(
        key=job.key,
        name=check,
        configuration={"check": check},
        seeds=(),
        dataset={},
        environment={},
        wall_seconds=time.perf_counter() - started,
        series={"quantities": np.array([np.atleast_1d(values) for values in quantities.values()], dtype=np.float64)},
        labels={"quantity": list(quantities)},
    )


def checkpoint_seconds() -> float:
    """Return the seconds between two checkpoints: VGT_CHECKPOINT_SECONDS, else 30.

    Raises:
        UserError: it is no number of seconds.
    """
    text = os.environ.get("VGT_CHECKPOINT_SECONDS") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"VGT_CHECKPOINT_SECONDS: {text!r} is no number of seconds; allowed: 0 (every step) and more")
    return seconds


@functools.cache
def _import_training() -> None:
    """Import what trains, once, without Python's collector, and leave it out of what the collector looks through.

    Torch and Lightning make half a million objects that stay. To go through them again and again while they come takes
    an eighth of the import, and a quarter of a second at the end of every arm.
    """
    gc.disable()
    try:
        importlib.import_module("vgtemplate.training.run")
    finally:
        gc.enable()
    gc.freeze()
    # Unless they are freed at the exit, a library of torch's reports them as leaks.
    atexit.register(gc.unfreeze)


def _run_arm(
    job: Job, config: ArmConfig, results: Path, root: Path, accelerator: str, strategy: str, progress: bool
) -> tuple[Record, PopulationModule]:
    _import_training()
    from vgtemplate.training.checkpoint import Checkpoints
    from vgtemplate.training.run import train_arm
    from vgtemplate.training.trainer import Hardware

    hardware = Hardware(accelerator, strategy=strategy)
    checkpoints = Checkpoints(checkpoint_path(results, job.key), checkpoint_seconds())
    if checkpoints.folder.is_symlink():
        drop_checkpoints(results, job.key)
    return train_arm(job.name, config, job.seeds, root, hardware, progress, checkpoints)


def run_job(
    job: Job,
    results: Path,
    root: Path,
    accelerator: str = "auto",
    fresh: bool = False,
    strategy: str = "auto",
    progress: bool = False,
    keeps_models: bool = False,
) -> Record:
    """Run one job in this process, unless it has a record by now, and write its record.

    Args:
        job: what to run.
        results: the folder of the records.
        root: the folder of the data sets.
        accelerator: Lightning's name.
        fresh: run it even if it has a record; not if another process has just made one.
        strategy: Lightning's name.
        progress: show a progress bar.
        keeps_models: write the trained networks beside the record.

    Raises:
        UserError: it cannot be run, or its record cannot be written.
        Stopped: a signal asked for the end.
    """
    with hold(results, job.key) as waited:
        drop_leftovers(results, job.key)
        if (waited or not fresh) and (known := read_record(results, job.key)) is not None:
            return known
        if job.check is not None:
            record = _run_check(job, job.check)
            write_record(results, record)
        elif job.config is not None:
            record, module = _run_arm(job, job.config, results, root, accelerator, strategy, progress)
            add = None
            if keeps_models:
                from vgtemplate.training.models import write_models

                add = functools.partial(write_models, record=record, module=module)
            write_record(results, record, add)
        else:
            raise ValueError(f"job {job.name} has neither an arm nor a check")
        drop_checkpoints(results, job.key)
    return record


def _end_with_the_parent() -> None:
    """End this worker when the process that started it is gone, killed or not; records are written whole or not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _attempt(task: tuple[Any, ...]) -> str | None:
    """Run a job, given the arguments of `run_job`; return None, or what went wrong."""
    from vgtemplate.training.memory import give_memory_back

    try:
        run_job(*task)
    except UserError as error:
        return str(error)
    except Stopped as stopped:
        os._exit(128 + stopped.signal_number)
    except Exception as error:  # one arm's failure must not take the others' results with it
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        give_memory_back()
    return None


def _serve(connection: Connection, threads: int) -> None:
    """Run the jobs that come down the connection until it is closed."""
    import torch

    # While an arm trains, SIGTERM means a checkpoint first (training/checkpoint.py). Else it unwinds what is being
    # done: a record that is half written is taken away.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(task))


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore SIGINT, as will what is started meanwhile: it goes to the whole group, and the parent decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Worker:
    """A process of its own for one job at a time; `connection` becomes ready when a job has ended or the process has.

    Args:
        threads: with which it computes.
    """

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()
        self.job: Job | None = None

    def give(self, job: Job, *arguments: object) -> None:
        """Hand out a job, with the arguments of `run_job`."""
        self.job = job
        # A process that has died is noticed where its answer is read.
        with contextlib.suppress(OSError):
            self.connection.send((job, *arguments))

    def take(self) -> tuple[Job, str | None, str | None]:
        """Return the job that has ended, what went wrong with it, and what killed the process: None if nothing did."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, self.connection.recv(), None
        except (EOFError, OSError):
            self._process.join()
            return job, None, describe_exit(self._process.exitcode or 0)

    def ask_to_end(self) -> None:
        """Ask for the end: an idle one ends, a training one writes its checkpoint first."""
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
