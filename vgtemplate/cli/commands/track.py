"""`vgt track`: send to MLflow what it missed."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.progress import track as with_bar

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.cli.paths import results_dir
from vgtemplate.cli.send import EXTRAS
from vgtemplate.tracking.outbox import Description, Parcel, Registration, Run, find_store, missed
from vgtemplate.tracking.tracker import Tracker

_COLUMNS = (
    Column("experiment", folds=True),
    Column("run", folds=True),
    Column("record", rank=1),
    Column("outcome", folds=True),
)


@click.group()
def track() -> None:
    """Keep MLflow (MLFLOW_TRACKING_URI, else results/mlflow.db) up to date with the records."""


@track.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def sync(as_json: bool) -> None:
    """Send the runs, descriptions and the report that MLflow has missed.

    Exits with code 1 if some could not be sent.
    """
    results = results_dir()
    parcels = missed(results)
    console = make_console(stderr=as_json)
    if not parcels and not as_json:
        say(f"MLflow at {find_store(results).place} has missed nothing")
        return
    tracker = Tracker(results, EXTRAS)
    outcomes: list[tuple[Parcel, str | None]] = []
    for parcel in with_bar(parcels, "sending", console=console, transient=True, disable=not console.is_terminal):
        outcome = tracker.send(parcel)
        if tracker.failure:
            break
        outcomes.append((parcel, outcome))
    if as_json:
        names = ("experiment", "run", "record")
        print_json([{**dict(zip(names, _words(parcel), strict=True)), "failure": why} for parcel, why in outcomes])
    elif outcomes:
        title = escape(f"sent to MLflow at {find_store(results).place}")
        console.print(make_table(title, _COLUMNS, [_row(*outcome) for outcome in outcomes], console.width))
    if tracker.failure:
        say(f"{tracker.failure}; still to be sent: {len(parcels) - len(outcomes)}", err=True)
    if tracker.failure or any(outcome for _, outcome in outcomes):
        raise click.exceptions.Exit(1)


def _row(parcel: Parcel, outcome: str | None) -> list[str]:
    return [*map(escape, _words(parcel)), escape(outcome) if outcome else "sent"]


def _words(parcel: Parcel) -> list[str]:
    """Return a parcel's experiment, run and record."""
    run, record = "(description)" if isinstance(parcel, Description) else "(report)", ""
    if isinstance(parcel, Run | Registration):
        record = parcel.key
        run = f"{parcel.arm} as {parcel.name}" if isinstance(parcel, Registration) else parcel.label or parcel.arm
        run += f", seed {parcel.seed}" if isinstance(parcel, Run) and parcel.seed is not None else ""
    return [parcel.experiment, run, record]
