"""`vgt data`: list, fetch and verify the data sets."""

from __future__ import annotations

import click
from rich.markup import escape

from vgtemplate.cli import complete
from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.config.catalogue import DATASETS, DatasetRow, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.data.checksums import verify as verify_dataset
from vgtemplate.data.fetch import fetch as fetch_dataset
from vgtemplate.data.files import data_root

_COLUMNS = (Column("name"), Column("what", rank=2, folds=True), Column("state"), Column("files", rank=1, folds=True))
_DAMAGED = {"truncated", "altered", "unverifiable"}


@click.group()
def data() -> None:
    """List, fetch and verify data sets (folder: VGT_DATA_DIR, else data/)."""


def _checked() -> list[DatasetRow]:
    """Return the data sets whose files are known."""
    return [row for row in DATASETS.values() if not row.needs_path]


def _summary(states: set[str]) -> str:
    """Say in a word how a data set stands, given the states of its files."""
    if states & _DAMAGED:
        return "[red]damaged[/red]"
    if "missing" in states:
        return "[red]incomplete[/red]" if "ok" in states else "missing"
    return "[green]intact[/green]" if states else "needs no files"


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def list_(as_json: bool) -> None:
    """Show every data set and the state of its files."""
    root, console = data_root(), make_console()
    if as_json:
        states = {row.name: {file.name: file.state for file in verify_dataset(row.name, root)} for row in _checked()}
        print_json(
            [{"name": row.name, "source": row.source, "files": states.get(row.name)} for row in DATASETS.values()]
        )
        return
    rows = []
    for row in DATASETS.values():
        state = "yours" if row.needs_path else _summary({file.state for file in verify_dataset(row.name, root)})
        where = "data.path" if row.needs_path else str(root) if row.fetchable else "-"
        rows.append([row.name, escape(row.source), state, escape(where)])
    console.print(make_table(f"data sets in {escape(str(root))}", _COLUMNS, rows, console.width))


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.datasets)
def fetch(names: tuple[str, ...]) -> None:
    """Fetch data sets, and replace damaged files."""
    root = data_root()
    for name in names:
        check_name("data set", name, DATASETS)
        if not DATASETS[name].fetchable:
            raise UserError(f"data set {name!r} needs no fetching: {DATASETS[name].source}")
    for name in names:
        fetch_dataset(name, root, quiet=False)
        say(f"{name}: intact in {root}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete.datasets)
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...]) -> None:
    """Check the files of data sets by their checksums.

    Without names those data sets are checked that are there. Exits with code 2 if a file is damaged, if a data set is
    incomplete, or if one that is named is missing.
    """
    root = data_root()
    failed = False
    for name in names or DATASETS:
        states = verify_dataset(name, root)
        if not names and all(file.state == "missing" for file in states):
            continue
        for file in states:
            say(f"{name}: {file.name}: {file.state}{f' ({file.detail})' if file.detail else ''}")
            failed = failed or file.state != "ok"
        if not states:
            say(f"{name}: has no files to verify")
    if failed:
        context.exit(2)
