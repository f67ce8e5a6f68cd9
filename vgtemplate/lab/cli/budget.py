"""`vgt reproduce --budget`: how long it may take, and what that leaves time for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.lab.budget import SHORT_SEEDS, Share, share_out
from vgtemplate.lab.cli.paths import claims_dir
from vgtemplate.lab.plan import Plan, missing_tasks, only, plan_claims
from vgtemplate.lab.worker import How
from vgtemplate.text import describe_seconds, write_count

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


def split_by_budget(full: Plan, how: How, cifar: Path | None, budget: float, console: Console) -> list[Plan]:
    """Return what is to be run of a full plan, in the full setting and in the short one; print it beforehand.

    What has a record costs nothing, unless it is to be run afresh. `budget` is in seconds, and `cifar` a folder to take
    in CIFAR-10's place.
    """
    folder, seeds = claims_dir(), full.seeds[:SHORT_SEEDS]
    short = plan_claims(full.claims, folder, full.dataset, seeds, how.root, setting="short", cifar=cifar)
    plans = (full, short)
    jobs = [job for plan in plans for job in plan.jobs.values()]
    missing = {job.key for job in (jobs if how.fresh else missing_tasks(jobs, how.results))}
    shares, seconds = share_out(full, short, missing, budget, how.num_workers)
    _print(shares, len(seeds), console)
    counts = [sum(share.setting == setting for share in shares.values()) for setting in ("full", "short", None)]
    console.print(
        f"of {write_count(len(shares), 'claim')} {counts[0]} in the full setting, {counts[1]} in the short one, "
        f"{counts[2]} left out: about {describe_seconds(seconds)} of {describe_seconds(budget)}, and the time to start"
    )
    chosen = [only(plan, [name for name, share in shares.items() if share.setting == plan.setting]) for plan in plans]
    return [plan for plan in chosen if plan.claims]


def _print(shares: dict[str, Share], num_seeds: int, console: Console) -> None:
    short = f"short, {write_count(num_seeds, 'seed')}: provisional"
    words = {"full": "full", "short": short, None: "[red]left out[/red]"}
    rows = []
    for name, share in shares.items():
        times = [describe_seconds(share.seconds[setting]) for setting in ("short", "full")]
        rows.append([name, words[share.setting], *("-" if time == "0 s" else time for time in times)])
    console.print(make_table("what there is time for", _COLUMNS, rows, console.width))
