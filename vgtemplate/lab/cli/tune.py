"""`vgt tune`: search, on tuning seeds, the settings that claims leave open, and keep every candidate's score."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.config.errors import UserError
from vgtemplate.jobs.job import read_job
from vgtemplate.lab.choice import Wider, conclude
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli import complete
from vgtemplate.lab.cli.cluster import cluster_options
from vgtemplate.lab.cli.paths import claims_dir, require_own
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.picks import Pick, Picks, write_picks
from vgtemplate.lab.plan import choose_dataset, select_claims
from vgtemplate.lab.search import Search, Tuning
from vgtemplate.lab.worker import How
from vgtemplate.records import make_results_folder
from vgtemplate.text import describe_seeds, write_count, write_number, write_value

_COLUMNS = (
    Column("claim", folds=True),
    Column("arm", folds=True),
    Column("picked", folds=True),
    Column("metric: median of each candidate", rank=1, folds=True),
)
JUDGED = 1000
"""Seeds below are for judging."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...", shell_complete=complete.claims)
@click.option("--seeds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Number of tuning seeds.")
@click.option("--first-seed", type=click.IntRange(JUDGED, 10**9), default=JUDGED, show_default=True, help="The first.")
@complete.dataset_option
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@cluster_options
@click.option("--dry-run", is_flag=True, help="Search among the records that exist; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the picks with every candidate instead of a table.")
def tune(
    ids: tuple[str, ...],
    seeds: int,
    first_seed: int,
    dataset: str,
    how: How,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Search the settings that claims leave open (all such claims, or those named) on seeds from 1000 up.

    A rate or a strength whose pick is on an end of its grid is tried beyond it, times or divided by three, until it is
    not. The picks and every candidate's score are written beside the claims, to picks/DATASET.yaml, which `vgt
    reproduce` reads. Trials leave records, so an interrupted search goes on where it stopped.
    """
    folder, root = claims_dir(), how.root
    if not dry_run:
        require_own(folder)
    claims = {name: claim for name, claim in select_claims(load_claims(folder), ids).items() if claim.search}
    if not claims:
        raise UserError(f"{', '.join(ids) or folder}: nothing to search; the settings are fixed by the register")
    name = choose_dataset(claims, folder, dataset, root)
    tuning = Tuning(claims, folder, name, range(first_seed, first_seed + seeds), root)
    console = make_console(stderr=as_json)
    console.print(f"data set: [bold]{name}[/bold], {describe_seeds(tuning.seeds)}")
    make_results_folder(how.results)
    picks, failed = _search(tuning, how, console, dry_run)
    if as_json:
        print_json(
            {claim: {arm: pick.model_dump(mode="json") for arm, pick in arms.items()} for claim, arms in picks.items()}
        )
    else:
        rows = [[claim, arm, *_row(pick)] for claim, arms in picks.items() for arm, pick in arms.items()]
        console.print(make_table("searched on tuning seeds", _COLUMNS, rows, console.width))
    if not dry_run:
        console.print(f"picks in {escape(str(write_picks(folder, name, picks)))}")
    if failed:
        raise click.exceptions.Exit(1)


def _search(tuning: Tuning, how: How, console: Console, dry_run: bool) -> tuple[Picks, bool]:
    """Run the trials, and those of wider grids, until every search is done; return the picks and whether one failed."""
    picks: Picks = {}
    searches, failed = tuning.plan_all(), False
    while searches:
        jobs = {job.key: job for search in searches for trial in search.trials for job in trial.values()}
        todo = [] if dry_run else [job for job in jobs.values() if read_job(how.results, job.key) is None]
        console.print(f"{write_count(len(jobs), 'trial')}, {len(todo)} to be run")
        failed |= bool(run_with_progress(todo, how, console))
        wider = []
        for search in searches:
            try:
                found = _conclude(search, how.results)
            except UserError as error:
                console.print(f"[red]failed[/red] {escape(str(error))}", soft_wrap=True)
                found = None
            if found is None:
                failed = True
            elif isinstance(found, Wider):
                wider.append(tuning.plan(search.claim, search.arm, search.config, found.grid))
            else:
                picks.setdefault(search.claim, {}).update(found)
        searches = wider
    return picks, failed


def _conclude(search: Search, results: Path) -> dict[str, Pick] | Wider | None:
    """Return what comes of a search; None where a record of it is missing."""
    records = [{arm: read_job(results, job.key) for arm, job in trial.items()} for trial in search.trials]
    known = [{arm: record for arm, record in trial.items() if record is not None} for trial in records]
    return conclude(search, known) if list(map(len, known)) == list(map(len, records)) else None


def _row(pick: Pick) -> list[str]:
    """Return what was picked, beside each candidate's median."""
    picked = ", ".join(f"{name} {write_value(value)}" for name, value in pick.picked.items())
    medians = [candidate.median for candidate in pick.candidates]
    never = "never" if pick.metric == "steps_to_loss" else "diverged"
    words = ", ".join(never if median is None else write_number(median) for median in medians)
    return [escape(picked), escape(f"{pick.metric}: {words}")]
