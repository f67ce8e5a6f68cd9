"""`vgt data`: list, fetch and verify the data sets."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vgtemplate.config.catalogue import DATASETS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.data.fetch import fetch as fetch_dataset
from vgtemplate.data.files import data_root
from vgtemplate.data.files import verify as verify_dataset

_DAMAGED = {"truncated", "altered", "unverifiable"}


@click.group()
def data() -> None:
    """List, fetch and verify data sets (folder: VGT_DATA_DIR, else data/)."""


def _summary(states: set[str]) -> str:
    """Say in a word how a data set stands, given the states of its files."""
    if states & _DAMAGED:
        return "[red]damaged[/red]"
    if "missing" in states:
        return "[red]incomplete[/red]" if "ok" in states else "missing"
    return "[green]intact[/green]" if states else "needs no files"


@data.command("list")
def list_() -> None:
    """Show every data set, what it is, and whether its files are there and intact."""

    root = data_root()
    table = Table(title=f"data sets in {escape(str(root))}", title_justify="left")
    for heading in ("name", "what", "state", "files"):
        table.add_column(heading, overflow="fold")
    for row in DATASETS.values():
        states = verify_dataset(row.name, root)
        where = {"digits": "scikit-learn", "image_folder": "data.path", "synthetic": "none"}.get(
            row.name, escape(str(root))
        )
        state = "yours" if row.name == "image_folder" else _summary({file.state for file in states})
        table.add_row(row.name, row.source, state, where)
    Console().print(table)


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def fetch(names: tuple[str, ...]) -> None:
    """Fetch data sets, and replace files of theirs that are damaged."""

    root = data_root()
    for name in names:
        check_name("data set", name, DATASETS)
        if not DATASETS[name].fetchable:
            raise UserError(f"data set {name!r} needs no fetching: {DATASETS[name].source}")
    for name in names:
        fetch_dataset(name, root, quiet=False)
        click.echo(f"{name}: intact in {root}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...]) -> None:
    """Check every file of the data sets by its checksum; without names, of those that are there.

    Exits with code 2 if a file is damaged, if a data set is incomplete, or if one that is named is missing.
    """

    root = data_root()
    failed = False
    for name in names or DATASETS:
        states = verify_dataset(name, root)
        if not names and all(file.state == "missing" for file in states):
            continue
        for file in states:
            click.echo(f"{name}: {file.name}: {file.state}{f' ({file.detail})' if file.detail else ''}")
            failed = failed or file.state != "ok"
        if not states:
            click.echo(f"{name}: has no files to verify")
    if failed:
        context.exit(2)
