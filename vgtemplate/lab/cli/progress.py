"""Runs jobs and says meanwhile what is running, what is left and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vgtemplate.jobs.job import describe_fault
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs
from vgtemplate.text import describe_seconds, visible, write_count

LINE_SECONDS = 30.0
"""Where the output is no terminal, a line says so often what is left."""
_MOST_RUNNING = 4
_MOST_CHARACTERS = 48


class Estimate:
    """How long the jobs that are left of `jobs` will take, from their costs and how long the finished ones took."""

    def __init__(self, jobs: Sequence[Task], num_workers: int) -> None:
        self._left = {job.key: task_seconds(job) for job in jobs}
        self._num_workers = max(1, min(num_workers, len(jobs)))
        self._started: dict[str, float] = {}
        self._done_cost = self._done_seconds = 0.0

    def meet(self, number: int) -> None:
        """Note that so many jobs run at once: a cluster's workers are not counted beforehand."""
        self._num_workers = max(self._num_workers, number)

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


def _describe(running: Sequence[Task]) -> str:
    """Name what is running, as markup."""
    names = [f"{job.experiment}: {job.name}" for job in running[:_MOST_RUNNING]]
    short = [name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 1]}…" for name in names]
    more = [f"{len(running) - len(names)} more"] if len(running) > len(names) else []
    return escape(visible(" | ".join([*short, *more])))


class _Display:
    """What is shown while jobs run: a bar on a terminal, elsewhere a line every half minute."""

    def __init__(self, jobs: Sequence[Task], num_workers: int, console: Console) -> None:
        columns = (
            TextColumn("{task.fields[estimate]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self.bar.add_task("starting the workers", total=len(jobs), visible=bool(jobs), estimate="")
        self._console, self._estimate = console, Estimate(jobs, num_workers)
        self._total, self._done = len(jobs), 0
        self._last_line = time.monotonic()

    def watch(self, running: list[Task]) -> None:
        """Show what is running now."""
        now = time.monotonic()
        self._estimate.meet(len(running))
        for job in running:
            self._estimate.start(job, now)
        left = f"about {describe_seconds(self._estimate.seconds(now))} left"
        self.bar.update(self._task, description=_describe(running), estimate=left)
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self.say(f"{self._done} of {write_count(self._total, 'arm')} done, {left}; running: {_describe(running)}")

    def finish(self, job: Task) -> None:
        """Count a job that has ended."""
        self._done += 1
        self._estimate.finish(job, time.monotonic())
        self.bar.update(self._task, advance=1)

    def say(self, markup: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(markup, soft_wrap=True)


def run_with_progress(
    jobs: Sequence[Task],
    how: How,
    console: Console,
    ended: Callable[[Task, str | None], None] = lambda job, failure: None,
) -> dict[str, str]:
    """Run the jobs, calling `ended` after each with its failure or None; return the failures by key.

    Says first which have a record that cannot be used.
    """
    for job in () if how.fresh else jobs:
        if fault := describe_fault(how.results, job.key):
            console.print(escape(f"{job.experiment}: {job.name}: {fault}"), soft_wrap=True)
    failures: dict[str, str] = {}
    display = _Display(jobs, how.num_workers, console)

    def say(text: str) -> None:
        display.say(escape(text))

    with display.bar:
        for job, failure in run_jobs(jobs, how, watch=display.watch, say=say):
            display.finish(job)
            if failure is not None:
                failures[job.key] = failure
                display.say(f"[red]failed[/red] {escape(f'{job.experiment}: {job.name}: {failure}')}")
            ended(job, failure)
    return failures
