"""`vgt reproduce --budget`: how long it may take, and what that leaves time for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.lab.budget import SHORT_SEEDS, Share, share_out
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.plan import Plan, missing_tasks, plan_claims
from vgtemplate.text import describe_seconds

_COLUMNS = (
    Column("claim", folds=True),
    Column("setting"),
    Column("short: alone, one core", rank=2, justify="right"),
    Column("full: alone, one core", rank=1, justify="right"),
)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """A time such as 90s, 20m or 1.5h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value).strip())
        if not found or not float(found[1]):
            self.fail(f"{value!r} is no time; allowed: a number and s, m or h, e.g. 90s, 20m, 1.5h", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


DURATION = Duration()


def split_by_budget(
    full: Plan,
    results: Path,
    root: Path,
    cifar: Path | None,
    budget: float,
    num_workers: int,
    fresh: bool,
    console: Console,
) -> list[Plan]:
    """Return what is to be run of a full plan, in the full setting and in the short one; print it beforehand.

    Args:
        full: of all claims.
        results: the folder of the records; what has one costs nothing.
        root: the folder of the data sets.
        cifar: a folder to take in CIFAR-10's place.
        budget: seconds.
        num_workers: how many jobs run at once.
        fresh: what has a record is run too, and costs as if it had none.
        console: where to print.
    """
    folder, seeds = claims_dir(), full.seeds[:SHORT_SEEDS]
    short = plan_claims(full.claims, folder, full.dataset, seeds, root, setting="short", cifar=cifar)
    plans = (full, short)
    jobs = [job for plan in plans for job in plan.jobs.values()]
    missing = {job.key for job in (jobs if fresh else missing_tasks(jobs, results))}
    shares, seconds = share_out(full, short, missing, budget, num_workers)
    _print(shares, len(seeds), console)
    counts = [sum(share.setting == setting for share in shares.values()) for setting in ("full", "short", None)]
    console.print(
        f"of {len(shares)} claims {counts[0]} in the full setting, {counts[1]} in the short one, {counts[2]} left out: "
        f"about {describe_seconds(seconds)} of {describe_seconds(budget)}, and the time to start"
    )
    fitting = {
        plan.setting: [name for name, share in shares.items() if share.setting == plan.setting] for plan in plans
    }
    return [_only(plan, fitting[plan.setting]) for plan in plans if fitting[plan.setting]]


def _only(plan: Plan, claims: list[str]) -> Plan:
    """Return a plan of some of its claims."""
    keys = {name: plan.keys[name] for name in claims}
    wanted = {key for arms in keys.values() for key in arms.values()}
    return replace(
        plan,
        claims={name: plan.claims[name] for name in claims},
        jobs={key: job for key, job in plan.jobs.items() if key in wanted},
        keys=keys,
    )


def _print(shares: dict[str, Share], num_seeds: int, console: Console) -> None:
    words = {"full": "full", "short": f"short, {num_seeds} seeds: provisional", None: "[red]left out[/red]"}
    rows = []
    for name, share in shares.items():
        times = [describe_seconds(share.seconds[setting]) for setting in ("short", "full")]
        rows.append([name, words[share.setting], *("-" if time == "0 s" else time for time in times)])
    console.print(make_table("what there is time for", _COLUMNS, rows, console.width))
