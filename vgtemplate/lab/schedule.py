"""How long jobs take on so many workers, and what it would save to train arms in shares; decides no number.

Jobs are handed out as `run_jobs` does it: the longest that is left to whoever is free first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vgtemplate.jobs.job import Job
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Task
from vgtemplate.lab.shares import split_seeds

_FIXED = 0.35
"""Of the time of a population of ten, what a population of one takes too: a guess from two arms (0.51 and 0.44)."""


class Row(NamedTuple):
    """The jobs of a plan, if no job has more than `share` seeds."""

    share: int | None
    """None: arms are not split."""
    num_jobs: int
    total: float
    """Seconds of one worker for all of them."""
    longest: float
    """Seconds of the longest job, which no number of workers can go below."""
    finish: float
    """Seconds until all are done."""


def finish_seconds(costs: Iterable[float], num_workers: int) -> float:
    """Return when jobs of these costs, in seconds, are done on so many workers, handed out from the longest down."""
    free = [0.0] * num_workers
    for cost in sorted(costs, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + cost)
    return max(free)


def share_seconds(task: Task, share: int | None) -> list[float]:
    """Return the seconds of each job that a task is run as, if none has more than `share` seeds."""
    if share is None or not isinstance(task, Job) or len(task.seeds) <= share:
        return [task_seconds(task)]
    whole, number = task_seconds(task), len(task.seeds)
    parts = [len(part) for part in split_seeds(task.seeds, share)]
    return [whole * (_FIXED + (1 - _FIXED) * part / number) for part in parts]


def plan_rows(tasks: Sequence[Task], num_workers: int) -> list[Row]:
    """Return what tasks take on so many workers: as they are, and in smaller and smaller shares of their seeds."""
    most = max((len(task.seeds) for task in tasks if isinstance(task, Job)), default=1)
    shares = [None, *(share for share in (20, 10, 5, 2, 1) if share < most)]
    rows = []
    for share in shares:
        costs = [seconds for task in tasks for seconds in share_seconds(task, share)]
        longest = max(costs, default=0.0)
        rows.append(Row(share, len(costs), sum(costs), longest, finish_seconds(costs, num_workers)))
    return rows


def longest_task(tasks: Sequence[Task]) -> Task:
    """Return the task that takes the longest."""
    return max(tasks, key=task_seconds)
