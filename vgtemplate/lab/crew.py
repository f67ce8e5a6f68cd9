"""Who runs jobs: what `run_jobs` asks of an engine, and the engine of one machine, its worker processes."""

from __future__ import annotations

import multiprocessing.connection
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How, Worker
from vgtemplate.limits import num_cores, total_memory


class Place(NamedTuple):
    """Somebody who can take a job now."""

    who: Any
    """Known to the crew alone."""
    beside: Sequence[Task]
    """The jobs that share its memory."""
    room: float
    """Megabytes that the tensors of all these may take together."""


class Ended(NamedTuple):
    """A job that has ended, however it did."""

    job: Task
    failure: str | None = None
    lost: str | None = None
    """Why it has no result and is to be run again, e.g. "its worker was killed by SIGKILL"."""
    tries: int = 2
    """How often a job may be lost in this way until that is its failure; 0: as often as it likes."""


class Crew(Protocol):
    """An engine: it takes jobs, one per place, and says how each ended."""

    def places(self) -> Sequence[Place]:
        """Return who is free; a place holds until the next `give`."""

    def give(self, place: Place, job: Task) -> None:
        """Hand out a job."""

    def running(self) -> list[Task]:
        """Return the jobs that were handed out and have not ended."""

    def ended(self, timeout: float) -> Sequence[Ended]:
        """Return what has ended, after so many seconds at most."""

    def dismiss(self) -> None:
        """End all that runs; what trains leaves its checkpoint."""


class Processes:
    """The workers of one machine; one that died is replaced. They share the cores unless each is given its threads."""

    def __init__(self, number: int, threads: int | None, how: How) -> None:
        self._how, self._threads = how, threads or share_of_cores(number)
        self._workers = [Worker(self._threads) for _ in range(number)]

    def places(self) -> list[Place]:
        running, room = self.running(), room_megabytes()
        return [Place(worker, running, room) for worker in self._workers if worker.job is None]

    def give(self, place: Place, job: Task) -> None:
        place.who.give(job, self._how)

    def running(self) -> list[Task]:
        return [worker.job for worker in self._workers if worker.job is not None]

    def ended(self, timeout: float) -> list[Ended]:
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        found = multiprocessing.connection.wait(list(busy), timeout)
        return [self._take(worker) for connection, worker in busy.items() if connection in found]

    def _take(self, worker: Worker) -> Ended:
        job, failure, death = worker.take()
        if death is None:
            return Ended(job, failure)
        self._workers[self._workers.index(worker)] = Worker(self._threads)
        return Ended(job, lost=f"its worker {death}")

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.end()


def room_megabytes() -> float:
    """Return how many megabytes the tensors of all jobs may take together: half of what there is."""
    return total_memory() / 2e6


def asked_threads() -> int | None:
    """Return the number of threads that OMP_NUM_THREADS names; None if it names none."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else None


def share_of_cores(number: int) -> int:
    """Return the threads of each of so many workers: its share of the cores, and no more than OMP_NUM_THREADS says."""
    share = max(1, num_cores() // number)
    return min(share, asked_threads() or share)
