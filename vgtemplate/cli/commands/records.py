"""`vgt records`: list, verify and prune the records of the results folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json, say
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.jobs.stock import Entry, Waste, examine, find_waste, remove
from vgtemplate.text import describe_seeds, write_count

_COLUMNS = (
    Column("record"),
    Column("what"),
    Column("data set", rank=3),
    Column("seeds", rank=2),
    Column("device", rank=5),
    Column("date", rank=4),
    Column("size", rank=3, justify="right"),
    Column("state", folds=True),
)
_COLOURS = {"intact": "green", "stale": "yellow"}


@click.group()
def records() -> None:
    """List, verify and prune records (folder: VGT_RESULTS_DIR, else results/)."""


@records.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_(as_json: bool) -> None:
    """Show every record: what it is of, where it was made, and whether it is intact.

    A stale record is intact, but made by another version of the source: nothing uses it.
    """
    results, console = results_dir(), make_console()
    entries = [_without_series(entry) for entry in examine(results)]
    if as_json:
        print_json([_describe(entry) for entry in entries])
    elif not entries:
        say(f"no records in {results}/")
    else:
        total = _size(sum(entry.num_bytes for entry in entries))
        title = escape(f"{_count(entry.state for entry in entries)} in {results}/, {total}")
        console.print(make_table(title, _COLUMNS, map(_row, entries), console.width))


def _without_series(entry: Entry) -> Entry:
    return entry._replace(record=replace(entry.record, series={})) if entry.record else entry


def _describe(entry: Entry) -> dict[str, object]:
    """Return what is known of a record as plain data."""
    record = entry.record
    return {
        "key": entry.key,
        "name": record.name if record else None,
        "dataset": record.dataset.get("name") if record else None,
        "seeds": list(record.seeds) if record else [],
        "device": record.environment.get("device") if record else None,
        "date": datetime.fromtimestamp(entry.written, UTC).isoformat(timespec="seconds"),
        "bytes": entry.num_bytes,
        "state": entry.state,
        "why": entry.why,
    }


def _row(entry: Entry) -> list[str]:
    """Return a record's line of the table, as markup."""
    found, seeds = _describe(entry), entry.record.seeds if entry.record else ()
    state = f"[{_COLOURS.get(entry.state, 'red')}]{entry.state}[/]"
    state += "" if entry.state in _COLOURS else escape(f": {entry.why}")
    texts = [entry.key, found["name"], found["dataset"], describe_seeds(seeds).removeprefix("seeds ") if seeds else ""]
    texts += [found["device"], str(found["date"])[:10], _size(entry.num_bytes)]
    return [*(escape(str(text or "-")) for text in texts), state]


def _count(states: Iterable[str]) -> str:
    """Count states, e.g. "12 records: 10 intact, 2 stale"."""
    counts = Counter(states)
    total = sum(counts.values())
    words = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    return f"{write_count(total, 'record')}{f': {words}' if words else ''}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.1f} kB"


@records.command()
@click.pass_context
def verify(context: click.Context) -> None:
    """Read every record whole, and say which are damaged or another's, and why.

    Exits with code 1 if there are any, or if some cannot be read.
    """
    results, states = results_dir(), []
    for entry in examine(results):
        states.append(entry.state)
        if entry.state not in _COLOURS:
            say(f"{results}/{entry.key}: {entry.state}: {entry.why}")
    say(f"{_count(states)} in {results}/")
    if not _COLOURS.keys() >= set(states):
        context.exit(1)


@records.command()
@click.option("--stale", is_flag=True, help="Also intact records that were made by another version of the source.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(stale: bool, yes: bool) -> None:
    """Remove what nobody can use: damaged records, another's records, spent checkpoints, temporary files, old locks.

    Says first what it would remove, and asks. What is being trained stays.
    """
    results = results_dir()
    found = find_waste(results, stale)
    for waste in found:
        say(f"{waste.path}: {waste.why}, {'is being trained: stays' if waste.is_held else _size(waste.num_bytes)}")
    chosen = [waste for waste in found if not waste.is_held]
    if not chosen:
        say(f"nothing to remove in {results}/")
        return
    say(_total("to remove", chosen))
    if not (yes or _confirmed()):
        say("nothing was removed")
        return
    removed = [waste for waste in chosen if remove(results, waste)]
    say(_total("removed", removed))


def _total(what: str, found: list[Waste]) -> str:
    number = f"{len(found)} of these" if len(found) > 1 else "1"
    return f"{what}: {number}, {_size(sum(waste.num_bytes for waste in found))}"


def _confirmed() -> bool:
    try:
        return click.confirm("remove them?")
    except click.Abort:
        raise UserError("nothing was removed, since nobody answered; --yes does without asking") from None
