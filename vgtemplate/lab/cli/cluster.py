"""`--cluster`: which cluster runs the jobs of a command."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import require
from vgtemplate.data import files
from vgtemplate.lab.plan import Task
from vgtemplate.lab.schedule import Row, longest_task, plan_rows
from vgtemplate.lab.worker import How
from vgtemplate.limits import num_cores
from vgtemplate.text import describe_seconds, write_count

_SLURM_JOBS = 4
_SCHEDULER = r"(tcp|tls|ws|wss)://\S+:\d+"
_FORMS = (_SCHEDULER, r"local:[1-9]\d{0,3}", r"slurm:[\w.-]+")

_CLUSTER = click.option(
    "--cluster",
    envvar="DASK_SCHEDULER_ADDRESS",
    metavar="WHERE",
    help="tcp://HOST:PORT (Dask), local:N, slurm:PARTITION.  [env: DASK_SCHEDULER_ADDRESS]",
)
_SHARE = click.option(
    "--share", type=click.IntRange(min=1), metavar="SEEDS", help="Train arms in shares of so many seeds; join these."
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --cluster and --share, and what it makes of these, --jobs and --accelerator as `how`."""

    @functools.wraps(command)
    def call(*, jobs: int | None, accelerator: str, cluster: str | None, share: int | None, **rest: Any) -> Any:
        return command(how=make_how(results_dir(), files.data_root(), jobs, accelerator, cluster, share), **rest)

    return _CLUSTER(_SHARE(call))


def make_how(
    results: Path,
    root: Path,
    jobs: int | None,
    accelerator: str,
    cluster: str | None,
    share: int | None,
) -> How:
    """Return how jobs are run; nothing is started.

    Args:
        jobs: workers, or jobs of Slurm; None: as many as there are cores, or four jobs.

    Raises:
        UserError: `cluster` names none, or what speaks to one is not installed.
    """
    number = jobs or num_cores()
    if cluster is not None:
        number = _num_workers(_check(cluster), jobs)
    return How(results, root, number, accelerator, cluster=cluster, share=share)


def print_plan(tasks: Sequence[Task], num_workers: int, console: Console) -> None:
    """Print how long tasks take on so many workers, by the most seeds that a job may have."""
    if not tasks:
        console.print("nothing is to be run: every arm has its record")
        return
    rows = plan_rows(tasks, num_workers)
    cells = [[_seeds(row), f"{row.num_jobs:,}", *map(_time, (row.total, row.longest, row.finish))] for row in rows]
    title = f"{write_count(len(tasks), 'arm')} on {write_count(num_workers, 'worker')} of one thread (a rough estimate)"
    console.print(make_table(title, _COLUMNS, cells, console.width))
    longest, whole, best = longest_task(tasks), rows[0], min(rows, key=lambda row: row.finish)
    console.print(
        escape(f"the longest arm is {longest.experiment}: {longest.name}, {_time(whole.longest)}"), soft_wrap=True
    )
    if best.share is not None and best.finish < 0.9 * whole.finish:
        console.print(f"--share {best.share} saves {_time(whole.finish - best.finish)} of {_time(whole.finish)}")
    else:
        console.print("to train arms in shares of their seeds would save next to nothing")


_COLUMNS = (
    Column("seeds per job"),
    Column("jobs", justify="right"),
    Column("one worker", rank=1, justify="right"),
    Column("longest job", justify="right"),
    Column("all done after", justify="right"),
)


def _seeds(row: Row) -> str:
    return "all" if row.share is None else str(row.share)


def _time(seconds: float) -> str:
    return describe_seconds(seconds) if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _check(text: str) -> str:
    if not any(re.fullmatch(form, text) for form in _FORMS):
        raise UserError(
            f"--cluster: {text!r} names no cluster; allowed: tcp://HOST:PORT (a Dask scheduler), local:N (so many "
            "workers here), slurm:PARTITION"
        )
    require("distributed")
    if text.startswith("slurm:"):
        require("dask_jobqueue")
    return text


def _num_workers(cluster: str, jobs: int | None) -> int:
    if cluster.startswith("slurm:"):
        return jobs or _SLURM_JOBS
    if jobs is not None:
        raise UserError(f"--jobs does not go with --cluster {cluster}: that says by itself how many workers there are")
    # Of a scheduler nobody knows how many workers it has, or will have.
    return 1 if re.fullmatch(_SCHEDULER, cluster) else int(cluster.removeprefix("local:"))
