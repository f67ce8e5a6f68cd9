"""What runs on a Dask worker: one job per thread, each in a process of its own that can be killed without harm.

A worker keeps records and checkpoints in its scratch folder until they are fetched. Where workers share that folder
(`dask worker --local-directory`), an arm whose worker is lost goes on elsewhere from its last checkpoint.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import shutil
import threading
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Status, get_worker
from distributed import Worker as DaskWorker
from distributed.worker import thread_state

from vgtemplate.config.errors import UserError
from vgtemplate.config.key import own_code
from vgtemplate.data import files
from vgtemplate.jobs.job import Job, Keys
from vgtemplate.lab.cluster import introduction
from vgtemplate.lab.cluster.order import Order, read_order
from vgtemplate.lab.cluster.parcel import digest, pack, piece_of
from vgtemplate.lab.worker import How, Worker
from vgtemplate.records import make_results_folder, record_path

_POLL_SECONDS = 0.5
_SCRATCH = "vgtemplate"
_idle: list[tuple[int, Worker]] = []
"""Processes that wait for a job, with their number of threads."""
_busy: set[str] = set()
"""The keys of Dask's tasks that run here."""
_parts: dict[str, list[bytes]] = {}
_lock = threading.Lock()


class Answer(NamedTuple):
    """What became of a job."""

    failure: str | None = None
    death: str | None = None
    """What killed the process that ran it."""
    is_called_off: bool = False
    """Whether it was stopped: nobody waits for it, or the worker ends."""
    size: int = 0
    """Bytes of the parcel that holds the record; the first piece of it comes with the answer."""
    checksum: str = ""
    piece: bytes = b""


def introduce(data: list[str]) -> dict[str, Any]:
    """Return what this worker says of itself (`introduction.introduce`)."""
    return introduction.introduce(data, files.data_root())


def run(text: str) -> tuple[Any, ...]:
    """Run the job of an order; return an `Answer` as plain data."""
    try:
        order, scratch = read_order(text), _scratch(get_worker())
        if (fault := _fault(order)) is not None:
            return tuple(Answer(fault))
    except (UserError, ValueError) as error:
        return tuple(Answer(str(error)))
    name, worker = str(thread_state.key), _borrow(order.threads)
    _busy.add(name)
    try:
        return tuple(_run(order, scratch, worker))
    finally:
        _busy.discard(name)


def _scratch(worker: DaskWorker) -> Path:
    """Return the folder of records and checkpoints; it outlives the worker, and others of the machine share it."""
    return make_results_folder(Path(worker.local_directory).parent / _SCRATCH)


def _fault(order: Order) -> str | None:
    """Say why code of somebody's own cannot be trained here: it is missing, or not the code that was meant."""
    job = order.task
    if not isinstance(job, Job) or not own_code(job.config.model_dump(mode="json")):
        return None
    if Keys(files.data_root()).job(job.experiment, job.name, job.config, job.seeds).key != job.key:
        return "the code of your own that it names, or its data, are others on the worker"
    return None


def _borrow(threads: int) -> Worker:
    with _lock:
        for index, (number, worker) in enumerate(_idle):
            if number == threads:
                del _idle[index]
                return worker
        # Dask's own worker may be a daemon, which must have no children; ours end with it all the same.
        multiprocessing.current_process().daemon = False
        return Worker(threads)


def _run(order: Order, scratch: Path, worker: Worker) -> Answer:
    worker.give(order.task, How(scratch, files.data_root(), 1, order.accelerator, order.fresh))
    while not multiprocessing.connection.wait([worker.connection], _POLL_SECONDS):
        if not _is_wanted():
            worker.ask_to_end()
            worker.end()
            return Answer(is_called_off=True)
    _, failure, death = worker.take()
    if death is not None:
        return Answer(death=death)
    with _lock:
        _idle.append((order.threads, worker))
    if failure is not None:
        return Answer(failure)
    try:
        content = pack(scratch, order.task.key)
    except FileNotFoundError:
        return Answer("it left no record on the worker; was the source there changed while it ran?")
    except (OSError, ValueError) as error:
        return Answer(f"its record cannot be read on the worker ({getattr(error, 'strerror', None) or error})")
    return Answer(size=len(content), checksum=digest(content), piece=piece_of(content, 0))


def _is_wanted() -> bool:
    """Say whether somebody still waits for the task of this thread, and the worker is to go on."""
    worker = get_worker()
    task = worker.state.tasks.get(thread_state.key)
    return task is not None and task.state == "executing" and worker.status in (Status.running, Status.paused)


def fetch(key: str, index: int, dask_worker: DaskWorker) -> bytes:
    """Return one piece of a record's parcel."""
    return piece_of(pack(_scratch(dask_worker), key), index)


def drop(key: str, dask_worker: DaskWorker) -> None:
    """Remove a record that has arrived where it was asked for."""
    shutil.rmtree(record_path(_scratch(dask_worker), key), ignore_errors=True)


def take_piece(piece: tuple[str, int, int, bytes], name: str) -> str | None:
    """Take a piece of a data set that this worker lacks (`introduction.take_piece`)."""
    return introduction.take_piece(_parts, files.data_root(), piece, name)


def rest() -> None:
    """End the processes that wait for a job: nobody needs their memory filled until one comes."""
    with _lock:
        waiting = _idle.copy()
        _idle.clear()
    for _, worker in waiting:
        worker.ask_to_end()
        threading.Thread(target=worker.end, daemon=True).start()


async def settle(names: list[str], seconds: float) -> None:
    """Wait until tasks that were called off have written their checkpoints, for so many seconds at most."""
    for _ in range(round(seconds / 0.05)):
        if _busy.isdisjoint(names):
            return
        await asyncio.sleep(0.05)
