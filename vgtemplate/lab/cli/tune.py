"""`vgt tune`: search, on tuning seeds, the settings that claims leave open, and keep every candidate's score."""

from __future__ import annotations

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.data import files
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.paths import claims_dir, require_own
from vgtemplate.lab.cli.progress import run_with_progress
from vgtemplate.lab.picks import Pick, Picks, write_picks
from vgtemplate.lab.plan import select_claims
from vgtemplate.lab.search import conclude, plan_searches
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import num_cores
from vgtemplate.records import make_results_folder, read_record
from vgtemplate.text import describe_seeds, write_number, write_value

_COLUMNS = (
    Column("claim", folds=True),
    Column("arm", folds=True),
    Column("picked", folds=True),
    Column("metric: median of each candidate", rank=1, folds=True),
)
JUDGED = 1000
"""Seeds below are for judging."""


@click.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Number of tuning seeds.")
@click.option("--first-seed", type=click.IntRange(JUDGED, 10**9), default=JUDGED, show_default=True, help="The first.")
@click.option("--dataset", default="auto", show_default=True, metavar="NAME", help="auto: mnist, else digits.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: the cores]")
@click.option("--accelerator", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--dry-run", is_flag=True, help="Search among the records that exist; write nothing.")
def tune(
    ids: tuple[str, ...], seeds: int, first_seed: int, dataset: str, jobs: int | None, accelerator: str, dry_run: bool
) -> None:
    """Search the settings that claims leave open (all such claims, or those named) on seeds from 1000 up.

    The picks and every candidate's score are written beside the claims, to picks/DATASET.yaml, which `vgt reproduce`
    reads. Trials leave records, so an interrupted search goes on where it stopped.
    """
    folder, root = claims_dir(), files.data_root()
    if not dry_run:
        require_own(folder)
    claims = {name: claim for name, claim in select_claims(load_claims(folder), ids).items() if claim.search}
    if not claims:
        raise UserError(f"{', '.join(ids) or folder}: nothing to search; the settings are fixed by the register")
    name = files.resolve(dataset, root)
    searches = plan_searches(claims, folder, name, range(first_seed, first_seed + seeds), root)
    results = make_results_folder(results_dir())
    trials = {job.key: job for search in searches for job in search.jobs}
    todo = [] if dry_run else [job for job in trials.values() if read_record(results, job.key) is None]
    console = make_console()
    console.print(f"data set: [bold]{name}[/bold], {describe_seeds(searches[0].jobs[0].seeds)}, {len(trials)} trials")
    failures = run_with_progress(todo, How(results, root, jobs or num_cores(), accelerator), console)
    picks: Picks = {}
    for search in searches:
        records = [record for job in search.jobs if (record := read_record(results, job.key)) is not None]
        if len(records) == len(search.jobs):
            picks.setdefault(search.claim, {}).update(conclude(search, records))
    rows = [[claim, arm, *_row(pick)] for claim, arms in picks.items() for arm, pick in arms.items()]
    console.print(make_table("searched on tuning seeds", _COLUMNS, rows, console.width))
    if not dry_run:
        console.print(f"picks in {escape(str(write_picks(folder, name, picks)))}")
    if failures or len(picks) < len(claims):
        raise click.exceptions.Exit(1)


def _row(pick: Pick) -> list[str]:
    """Return what was picked, beside each candidate's median."""
    picked = ", ".join(f"{name} {write_value(value)}" for name, value in pick.picked.items())
    medians = [candidate.median for candidate in pick.candidates]
    words = ", ".join("diverged" if median is None else write_number(median) for median in medians)
    return [escape(picked), escape(f"{pick.metric}: {words}")]
