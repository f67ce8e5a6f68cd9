"""`vgt reproduce --decide`: more seeds for the claims that are open, look by look, until each is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from vgtemplate.cli.send import Sender
from vgtemplate.jobs.job import Job
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.cli.send import describe_result, later_runs
from vgtemplate.lab.cli.tables import verdict_line
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Plan, Task, missing_tasks
from vgtemplate.lab.result import Result, judge_claim, next_look
from vgtemplate.lab.worker import How
from vgtemplate.text import describe_seconds

Wanted = Mapping[str, Mapping[str, Sequence[Job]]]
"""Claim to arm to the jobs of its next look."""


def decide(
    plan: Plan, judged: Sequence[Result], how: How, sender: Sender, console: Console
) -> tuple[list[Result], dict[str, str]]:
    """Go on with what is open until nothing is; return every result, and what failed by key.

    Whatever ends it, the same call goes on.
    """
    results = {result.claim.id: result for result in judged}
    failures: dict[str, str] = {}
    while wanted := _open(plan, results, failures):
        jobs = _jobs(wanted)
        todo = jobs if how.fresh else missing_tasks(jobs, how.results)
        _announce(plan, wanted, results, todo, how, console)
        failures |= _run(wanted, todo, how, sender, console)
        for name in wanted:
            results[name] = judge_claim(plan, name, how.results, failures)
            console.print(verdict_line(results[name]), soft_wrap=True, highlight=False)
            sender.send(describe_result(results[name], how.results))
    return list(results.values()), failures


def _open(plan: Plan, results: Mapping[str, Result], failures: Mapping[str, str]) -> Wanted:
    """Return what the open claims ask for next, but for those of which an arm has failed."""
    looks = {name: next_look(plan, result.verdict) for name, result in results.items() if result.verdict is not None}
    return {
        name: arms
        for name, arms in looks.items()
        if arms and not any(job.key in failures for jobs in arms.values() for job in jobs)
    }


def _jobs(wanted: Wanted) -> list[Job]:
    """Return the jobs, each once however many claims share it."""
    return list({job.key: job for arms in wanted.values() for jobs in arms.values() for job in jobs}.values())


def _announce(
    plan: Plan, wanted: Wanted, results: Mapping[str, Result], todo: Sequence[Job], how: How, console: Console
) -> None:
    """Say what comes next and how long it takes, and how long all of it takes at most."""
    rest = {job.key: job for name in wanted for arm in wanted[name] for job in _after(plan, results, name, arm)}
    seconds = sum(map(task_seconds, todo)) / how.num_workers
    most = seconds + sum(map(task_seconds, rest.values())) / how.num_workers
    networks = sum(len(job.seeds) for job in todo)
    console.print(
        escape(
            f"open: {', '.join(wanted)}; the next look trains {networks} networks, about {describe_seconds(seconds)}; "
            f"at most {describe_seconds(most)} until all is decided"
        ),
        soft_wrap=True,
    )


def _after(plan: Plan, results: Mapping[str, Result], name: str, arm: str) -> list[Job]:
    """Return the jobs of an arm that would come after the next look."""
    looked = len(results[name].keys[arm])
    return [job for jobs in plan.later[name][arm][1:] for job in jobs] if looked == 1 else []


def _run(wanted: Wanted, todo: Sequence[Job], how: How, sender: Sender, console: Console) -> dict[str, str]:
    """Train what is missing and send it to MLflow; return the failures by key."""
    runs = later_runs(wanted)

    def ended(job: Task, failure: str | None) -> None:
        for run in (run for run in runs if failure is None and run.key == job.key):
            sender.send(run)

    sender.plan(runs)
    failures = run_with_progress(todo, how, console, ended)
    for run in sender.pending(run for run in runs if run.key not in failures):
        sender.send(run)
    return failures
