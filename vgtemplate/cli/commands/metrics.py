"""`vgt metrics`: what can be measured of a record, and named in a claim."""

from __future__ import annotations

import inspect

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.config.catalogue import METRICS
from vgtemplate.text import write_count

_COLUMNS = (
    Column("metric"),
    Column("what it is", folds=True),
    Column("unit", rank=2, folds=True),
    Column("options", rank=3),
    Column("defined by", rank=1, folds=True),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects instead of a table.")
def metrics(as_json: bool) -> None:
    """List the metrics: each makes one number per seed of a record."""
    found = list_metrics()
    if as_json:
        print_json(found)
        return
    rows = [[escape(str(value)) for value in row.values()] for row in found]
    console = make_console()
    console.print(make_table(write_count(len(rows), "metric"), _COLUMNS, rows, console.width))


def list_metrics() -> list[dict[str, str]]:
    """Return name, formula, unit, options and source of every metric."""
    from vgtemplate.metrics.registry import FUNCTIONS

    return [
        {
            "name": name,
            "formula": _first_sentence(inspect.getdoc(FUNCTIONS[name]) or ""),
            "unit": row.unit,
            "options": ", ".join(row.options),
            "source": row.source,
        }
        for name, row in sorted(METRICS.items())
    ]


def _first_sentence(text: str) -> str:
    """Return a docstring's first paragraph in one line, without the word that every docstring begins with."""
    line = " ".join(text.partition("\n\n")[0].split()).removeprefix("Return ")
    return line[:1].upper() + line[1:]
