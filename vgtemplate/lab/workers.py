"""Runs jobs in worker processes and yields each as it ends; a job whose worker is killed is run once more."""

from __future__ import annotations

import multiprocessing.connection
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil

from vgtemplate.jobs.leftovers import drop_checkpoints, sweep_checkpoints
from vgtemplate.jobs.locks import is_held
from vgtemplate.lab.cost import task_megabytes, task_seconds
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How, Worker

_SMALL = 40
"""A job is small if this many of its kind fit in the room."""


def room_megabytes() -> float:
    """Return how many megabytes the tensors of all jobs may take together: half of the machine's memory."""
    return psutil.virtual_memory().total / 2e6


def _take_next(queue: list[Task], running: Sequence[Task], results: Path, room: float) -> Task | None:
    """Take the first job off the queue that fits beside the running ones and that no other process is running.

    A small job always fits; one too large for the room runs beside small ones. If other processes are running all that
    fits, the first of these is taken: its worker waits for the record.
    """
    small = room / _SMALL
    used = sum(size for job in running if (size := task_megabytes(job)) > small)
    allowed = [index for index, job in enumerate(queue) if not used or task_megabytes(job) <= max(small, room - used)]
    free = next((index for index in allowed if not is_held(results, queue[index].key)), None)
    index = free if free is not None else next(iter(allowed), None)
    return None if index is None else queue.pop(index)


class _Crew:
    """The workers; one that died is replaced. They share the cores out unless each is given its number of threads."""

    def __init__(self, number: int, threads: int | None) -> None:
        self._threads = threads or share_of_cores(number)
        self._workers = [Worker(self._threads) for _ in range(number)]

    def idle(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.job is None]

    def running(self) -> list[Task]:
        return [worker.job for worker in self._workers if worker.job is not None]

    def ready(self, timeout: float) -> list[Worker]:
        """Return the workers whose job has ended, however it did."""
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        found = multiprocessing.connection.wait(list(busy), timeout)
        return [worker for connection, worker in busy.items() if connection in found]

    def replace(self, worker: Worker) -> None:
        self._workers[self._workers.index(worker)] = Worker(self._threads)

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.end()


def run_jobs(
    jobs: Iterable[Task],
    how: How,
    watch: Callable[[list[Task]], None] = lambda running: None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Task, str | None]]:
    """Run jobs in worker processes, long ones first; yield each as it ends, with its failure or None.

    A job whose worker is killed is run again, once, from its last checkpoint. A caller that stops early leaves
    checkpoints of what was running.

    Args:
        watch: called about every second with the jobs that are running.
        say: given a line where a worker died.
    """
    sweep_checkpoints(how.results)
    queue = sorted(jobs, key=lambda job: -task_seconds(job))
    if not queue:
        return
    if how.fresh:
        for job in queue:
            if not is_held(how.results, job.key):
                drop_checkpoints(how.results, job.key)
    crew = _Crew(min(how.num_workers, len(queue)), how.threads)
    retried: set[str] = set()
    try:
        while queue or crew.running():
            for worker in crew.idle():
                if (next_job := _take_next(queue, crew.running(), how.results, room_megabytes())) is not None:
                    worker.give(next_job, how)
            watch(crew.running())
            for worker in crew.ready(timeout=1):
                job, failure, death = worker.take()
                if death is not None:
                    crew.replace(worker)
                    if job.key not in retried:
                        retried.add(job.key)
                        queue.insert(0, job)
                        say(f"{job.experiment}: {job.name}: its worker {death}; the arm is run again")
                        continue
                    failure = f"its worker {death}, a second time"
                yield job, failure
    finally:
        crew.dismiss()


def share_of_cores(number: int) -> int:
    """Return the threads of each of so many workers: its share of the cores, and no more than OMP_NUM_THREADS says."""
    share, asked = max(1, num_cores() // number), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share


def num_cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
