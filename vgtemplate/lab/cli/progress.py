"""Runs jobs behind a progress display that says what is running, what is left and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Task
from vgtemplate.lab.workers import run_jobs

_MOST_NAMED = 48


class Estimate:
    """How long the jobs that are left will take, from their costs and from how long the finished ones took.

    Args:
        jobs: everything that has to be run.
        num_workers: how many run at once.
    """

    def __init__(self, jobs: Sequence[Task], num_workers: int) -> None:
        self._left = {job.key: task_seconds(job) for job in jobs}
        self._num_workers = max(1, min(num_workers, len(jobs)))
        self._started: dict[str, float] = {}
        self._done_cost = self._done_seconds = 0.0

    def start(self, job: Task, now: float) -> None:
        """Note that a job is running; only the first call counts."""
        self._started.setdefault(job.key, now)

    def finish(self, job: Task, now: float) -> None:
        """Note that a job has ended."""
        self._done_cost += self._left.pop(job.key)
        self._done_seconds += now - self._started.get(job.key, now)

    def seconds(self, now: float) -> float:
        """Return the seconds left: the work shared by the workers, but no less than the longest job needs."""
        scale = self._done_seconds / self._done_cost if self._done_cost else 1.0
        left = [max(0.0, cost * scale - (now - self._started.get(key, now))) for key, cost in self._left.items()]
        return max(sum(left) / self._num_workers, max(left, default=0.0))


def describe_seconds(seconds: float) -> str:
    """Write a rough time for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _describe(running: Sequence[Task]) -> str:
    names = [f"{job.experiment}: {job.name}" for job in running]
    return escape(" | ".join(name if len(name) <= _MOST_NAMED else f"{name[: _MOST_NAMED - 1]}…" for name in names))


def run_with_progress(
    jobs: Sequence[Task],
    results: Path,
    root: Path,
    num_workers: int,
    accelerator: str,
    console: Console,
    finished: Callable[[Task], None] = lambda job: None,
    fresh: bool = False,
    threads: int | None = None,
) -> dict[str, str]:
    """Run the jobs, calling `finished` after each that succeeded; return why each of the others failed, by key."""
    failures: dict[str, str] = {}
    estimate = Estimate(jobs, num_workers)
    columns = (
        TextColumn("{task.fields[estimate]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting the workers", total=len(jobs), visible=bool(jobs), estimate="")

        def watch(running: list[Task]) -> None:
            now = time.monotonic()
            for job in running:
                estimate.start(job, now)
            left = f"about {describe_seconds(estimate.seconds(now))} left"
            progress.update(task, description=_describe(running), estimate=left)

        def say(text: str) -> None:
            progress.console.print(escape(text), soft_wrap=True)

        ended = run_jobs(
            jobs, results, root, num_workers, accelerator, fresh=fresh, threads=threads, watch=watch, say=say
        )
        for job, failure in ended:
            estimate.finish(job, time.monotonic())
            progress.update(task, advance=1)
            if failure is None:
                finished(job)
            else:
                failures[job.key] = failure
                progress.console.print(f"[red]failed[/red] {job.experiment}: {escape(job.name)}: {escape(failure)}")
    return failures
