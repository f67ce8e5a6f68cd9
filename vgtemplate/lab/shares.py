"""An arm trained in shares of its seeds: several jobs, joined to the one record that was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from vgtemplate.config.errors import UserError
from vgtemplate.jobs.job import Job, Keys, read_job
from vgtemplate.lab.joined import read_joined
from vgtemplate.lab.plan import Task, missing_tasks
from vgtemplate.lab.worker import How
from vgtemplate.records import record_path, write_record
from vgtemplate.text import describe_seeds


def split_seeds(seeds: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """Return seeds in as few sets of at most `most` as there can be, as equal as can be, in their order."""
    number = -(-len(seeds) // most)
    bounds = [len(seeds) * index // number for index in range(number + 1)]
    return [seeds[start:end] for start, end in pairwise(bounds)]


@dataclass
class _Arm:
    """An arm that is trained in shares."""

    whole: Job
    parts: list[Job]
    waits: set[str]
    """The keys of the shares that have no record yet."""
    trained: set[str] = field(default_factory=set)
    """The keys of those that were made for this arm alone."""
    failure: str | None = None


class Shares:
    """The jobs that were asked for, and the shares that some of them are run as.

    Args:
        jobs: what was asked for.
        how: with the most seeds per share; None: every job is run as it is.
    """

    def __init__(self, jobs: Iterable[Task], how: How) -> None:
        self._how, self._arms = how, list[_Arm]()
        self._whole: dict[str, Task] = {}
        keys = Keys(how.root)
        for job in jobs:
            if how.share is None or not isinstance(job, Job) or len(job.seeds) <= how.share:
                self._whole[job.key] = job
                continue
            names = [(f"{job.name} ({describe_seeds(seeds)})", seeds) for seeds in split_seeds(job.seeds, how.share)]
            parts = [keys.job(job.experiment, name, job.config, seeds) for name, seeds in names]
            missing = parts if how.fresh else missing_tasks(parts, how.results)
            self._arms.append(_Arm(job, parts, {part.key for part in missing}))

    def todo(self) -> list[Task]:
        """Return what is to be run."""
        parts = {part.key: part for arm in self._arms for part in arm.parts if part.key in arm.waits}
        return list((parts | self._whole).values())

    def complete(self) -> Iterator[tuple[Task, str | None]]:
        """Yield the arms of which every share had a record before."""
        for arm in self._arms:
            if not arm.waits:
                yield arm.whole, self._join(arm)

    def end(self, job: Task, failure: str | None) -> Iterator[tuple[Task, str | None]]:
        """Yield what has ended with a job: itself, or the arm of which it was the last share."""
        arms = [arm for arm in self._arms if job.key in arm.waits]
        if job.key in self._whole:
            yield job, failure
        for arm in arms:
            arm.waits.discard(job.key)
            if failure is None:
                arm.trained |= {job.key} - self._whole.keys()
            else:
                arm.failure = arm.failure or f"{job.name}: {failure}"
            if not arm.waits:
                yield arm.whole, arm.failure or self._join(arm)

    def _join(self, arm: _Arm) -> str | None:
        """Write the record of an arm of which every share has one, and remove those; return what went wrong."""
        results = self._how.results
        joined = read_joined(results, [part.key for part in arm.parts])
        if joined is None:
            return "the record of a share of its seeds is missing or damaged"
        try:
            write_record(results, replace(joined, key=arm.whole.key, name=arm.whole.name))
        except UserError as error:
            return str(error)
        if read_job(results, arm.whole.key) is None:
            return "the joined record of its shares is none of this arm"
        for key in arm.trained:
            shutil.rmtree(record_path(results, key), ignore_errors=True)
        return None
