"""The engine of a cluster: one job per thread of its workers, given to those alone that were found to be like us.

Dask carries the jobs and says which workers live; who takes what is decided here, as on one machine. So a scheduler
never holds more jobs than its workers have threads.
"""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distributed import Client, Future
from distributed import wait as wait_for
from filelock import BaseFileLock, Timeout

from vgtemplate.config.errors import UserError
from vgtemplate.data.sources import fingerprint
from vgtemplate.jobs.job import Job, read_job
from vgtemplate.jobs.locks import give_back, lock_now
from vgtemplate.lab.cluster import remote
from vgtemplate.lab.cluster.members import Members
from vgtemplate.lab.cluster.order import data_of, require_sendable, write_order
from vgtemplate.lab.cluster.parcel import digest, num_pieces, unpack
from vgtemplate.lab.cluster.site import open_site
from vgtemplate.lab.crew import Ended, Place
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How
from vgtemplate.records import RecordError

_PATIENCE_SECONDS = 600.0
"""How long a scheduler that does not answer is waited for."""
_SETTLE_SECONDS = 20.0
_LOOK_SECONDS = 0.3
"""Between two questions which workers there are."""
_FETCH_SECONDS = 120.0
_MOST_LOST, _SOON_SECONDS = 5, 30.0
"""A worker that is gone is seldom its arm's fault; that so many were gone so soon is."""


class _Running(NamedTuple):
    job: Task
    address: str
    future: Future
    lock: BaseFileLock
    since: float

    @property
    def tries(self) -> int:
        """How often it may be lost like this: an arm that outlives the time limits of several workers may be."""
        return _MOST_LOST if time.monotonic() - self.since < _SOON_SECONDS else 0


class ClusterCrew:
    """The workers of a Dask cluster.

    Args:
        how: its `cluster` says which.
        jobs: all that will be run.
        say: given a line where a worker is refused, or the scheduler is waited for.

    Raises:
        UserError: there is no such cluster, none of its workers may take a job, or a job cannot be sent.
    """

    def __init__(self, how: How, jobs: Sequence[Task], say: Callable[[str], None]) -> None:
        for job in jobs:
            require_sendable(job)
        data = {text: job for job in jobs if isinstance(job, Job) and (text := data_of(job)) is not None}
        known = {text: fingerprint(job.config.data, how.root) for text, job in data.items()}
        self._how, self._say = how, say
        self._site = open_site(how, how.results / ".cluster")
        say(f"jobs go to the cluster {self._site.name}")
        self._members = Members(known, how.root, say)
        self._running: dict[str, _Running] = {}
        self._waiting: list[Task] = []
        """Jobs that another process of this folder is running."""
        self._done: list[Ended] = []
        self._lost_at: float | None = None
        self._has_waited = False
        self._looked_at = -math.inf

    @property
    def _client(self) -> Client:
        return self._site.client

    def places(self) -> list[Place]:
        found = []
        for address, member in self._members.accepted.items():
            beside = [each.job for each in self._running.values() if each.address == address]
            found += [Place(address, beside, member.room)] * (member.threads - len(beside))
        return found

    def give(self, place: Place, job: Task) -> None:
        try:
            lock = lock_now(self._how.results, job.key)
        except Timeout:
            self._waiting.append(job)
            return
        if not self._how.fresh and read_job(self._how.results, job.key) is not None:
            give_back(self._how.results, job.key, lock)
            self._done.append(Ended(job))
            return
        # A scheduler keeps statistics for each beginning of a name, for ever: it is the same for all.
        name, text = f"job-{job.key}-{uuid.uuid4().hex}", write_order(job, self._how, self._site.threads)
        try:
            future = self._client.submit(remote.run, text, key=name, workers=[place.who], pure=False)
        except Exception:  # the connection was lost just now
            give_back(self._how.results, job.key, lock)
            self._done.append(Ended(job, lost="the scheduler has lost it", tries=0))
            return
        self._running[name] = _Running(job, place.who, future, lock, time.monotonic())

    def running(self) -> list[Task]:
        return [*(each.job for each in self._running.values()), *self._waiting, *(each.job for each in self._done)]

    def ended(self, timeout: float) -> list[Ended]:
        self._look(timeout)
        ended, self._done = self._done, []
        ended += self._look_for_others()
        for name, each in list(self._running.items()):
            if each.future.status != "pending" or each.address not in self._members.present:
                del self._running[name]
                ended.append(self._take(each))
                give_back(self._how.results, each.job.key, each.lock)
        return ended

    def _look(self, timeout: float) -> None:
        """Wait until a job has ended, but not for long; learn which workers there are."""
        pending = [each.future for each in self._running.values()]
        if not pending or self._lost_at is not None:
            # Nobody to wait for: whoever comes next is looked for soon.
            time.sleep(0 if self._done else min(timeout, _LOOK_SECONDS))
        else:
            # Not yet, or the scheduler is gone: what follows tells.
            with contextlib.suppress(Exception, CancelledError):
                wait_for(pending, timeout=timeout, return_when="FIRST_COMPLETED")
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            self._members.look(self._client)
            if self._lost_at is not None:
                self._say(f"the scheduler at {self._site.address} is back")
            self._lost_at = None
            if not self._members.present and not self._has_waited:
                self._has_waited = True
                self._say(f"the cluster {self._how.cluster} has no worker yet; the first is waited for")
        except (OSError, RuntimeError, TimeoutError, ValueError):
            self._lose_scheduler()

    def _lose_scheduler(self) -> None:
        """Note that the scheduler does not answer, and try to reach it again, but not for ever."""
        self._members.forget()
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._say(f"the scheduler at {self._site.address} does not answer; it is waited for")
        if time.monotonic() - self._lost_at > _PATIENCE_SECONDS:
            raise UserError(f"the scheduler at {self._site.address} is gone; the same command goes on from here")
        if self._client.status == "closed":
            self._site.reconnect()

    def _look_for_others(self) -> list[Ended]:
        """Return the jobs that another process was running and has let go, with its record or without."""
        ended, left = [], []
        for job in self._waiting:
            try:
                give_back(self._how.results, job.key, lock_now(self._how.results, job.key))
            except Timeout:
                left.append(job)
                continue
            is_done = read_job(self._how.results, job.key) is not None
            ended.append(Ended(job, lost=None if is_done else "another process has given it up", tries=0))
        self._waiting = left
        return ended

    def _take(self, each: _Running) -> Ended:
        """Return what became of a job, its record written here if it has one."""
        job, future = each.job, each.future
        if self._lost_at is not None or future.status == "cancelled":
            return Ended(job, lost="the scheduler has lost it", tries=0)
        if future.status != "finished":
            reason = f" ({future.exception()!r})" if future.status == "error" else ""
            future.cancel()
            return Ended(job, lost=f"its worker {each.address} is gone{reason}", tries=each.tries)
        try:
            answer = remote.Answer(*future.result(timeout=_FETCH_SECONDS))
            if answer.is_called_off:
                return Ended(job, lost=f"its worker {each.address} was asked to end", tries=0)
            if answer.death is not None:
                return Ended(job, lost=f"its worker {answer.death}")
            if answer.failure is not None:
                return Ended(job, answer.failure)
            unpack(self._fetch(each, answer), self._how.results, job.key)
        except UserError as error:
            return Ended(job, str(error))
        except RecordError as error:
            return Ended(job, lost=f"its record has arrived damaged ({error})", tries=_MOST_LOST)
        except Exception:  # whatever Dask raises where a worker ends while it is asked
            return Ended(job, lost=f"its worker {each.address} is gone before its record was fetched", tries=each.tries)
        self._members.ask(self._client, each.address, remote.drop, job.key)
        return Ended(job)

    def _fetch(self, each: _Running, answer: remote.Answer) -> bytes:
        """Return the parcel, of which the first piece came with the answer; RecordError: it is not what was sent."""
        pieces = [answer.piece]
        for index in range(1, num_pieces(answer.size)):
            found = self._client.run(remote.fetch, each.job.key, index, workers=[each.address])
            pieces.append(found[each.address])
        content = b"".join(pieces)
        if digest(content) != answer.checksum:
            raise RecordError("its checksum is wrong")
        return content

    def dismiss(self) -> None:
        names, workers = list(self._running), sorted({each.address for each in self._running.values()})
        # A cluster that is gone needs no farewell.
        with contextlib.suppress(Exception):
            if names and self._lost_at is None:
                self._client.cancel([each.future for each in self._running.values()])
                self._client.run(remote.settle, names, _SETTLE_SECONDS, workers=workers, on_error="ignore")
        for each in self._running.values():
            give_back(self._how.results, each.job.key, each.lock)
        with contextlib.suppress(Exception):
            self._client.run(remote.rest, workers=list(self._members.accepted), on_error="ignore")
