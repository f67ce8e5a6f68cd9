"""`vgt track`: send to MLflow what it missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich import box
from rich.markup import escape
from rich.progress import track as with_bar
from rich.table import Table

from vgtemplate.cli.console import make_console
from vgtemplate.cli.paths import results_dir
from vgtemplate.tracking.outbox import Description, Run, find_store, missed
from vgtemplate.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from vgtemplate.tracking.outbox import Parcel


@click.group()
def track() -> None:
    """Keep MLflow (MLFLOW_TRACKING_URI, else results/mlflow.db) up to date with the records."""


@track.command()
def sync() -> None:
    """Send every run and verdict and the report, if MLflow has missed them; exit code 1 if some could not be sent."""

    results = results_dir()
    parcels = missed(results)
    console = make_console()
    if not parcels:
        click.echo(f"MLflow at {find_store(results).place} has missed nothing")
        return
    from vgtemplate.figures.records import draw_pictures

    tracker = Tracker(results, draw_pictures)
    outcomes: list[tuple[Parcel, str | None]] = []
    for parcel in with_bar(parcels, "sending", console=console, transient=True, disable=not console.is_terminal):
        outcome = tracker.send_any(parcel)
        if tracker.failure:
            break
        outcomes.append((parcel, outcome))
    if outcomes:
        console.print(_table(outcomes, f"sent to MLflow at {find_store(results).place}"))
    if tracker.failure:
        click.echo(f"{tracker.failure}; still to be sent: {len(parcels) - len(outcomes)}", err=True)
    if tracker.failure or any(outcome for _, outcome in outcomes):
        raise click.exceptions.Exit(1)


def _table(outcomes: Sequence[tuple[Parcel, str | None]], title: str) -> Table:

    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("experiment", "run", "record", "outcome"):
        table.add_column(column, overflow="fold")
    for parcel, outcome in outcomes:
        other = "(description)" if isinstance(parcel, Description) else "(report)"
        run, record = (parcel.arm, parcel.key) if isinstance(parcel, Run) else (other, "")
        table.add_row(parcel.experiment, run, record, escape(outcome) if outcome else "sent")
    return table
