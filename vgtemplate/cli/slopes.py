"""Every arm's gradient slope at initialisation in theory and measured: what `vgt predict --records` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.prediction import TOLERANCE, WIDE, group_alike
from vgtemplate.records import read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgtemplate.prediction import Comparison


Arms = list[tuple[str, "Comparison"]]


def slope_table(arms: Arms, title: str) -> Table:
    """Return the table of arms, the largest error first."""

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for column in ("theory", "19 of 20 networks", "measured: median \\[min, max]", "error"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column(f"where the error is above {TOLERANCE:g}", overflow="fold")
    for name, found in arms:
        table.add_row(
            escape(name),
            f"{found.predicted:+.4f}",
            f"{found.low:+.3f} to {found.high:+.3f}",
            escape(f"{found.median:+.4f} [{min(found.measured):+.3f}, {max(found.measured):+.3f}]"),
            f"{found.error:+.4f}",
            found.reason,
        )
    return table


def print_slopes(console: Console, as_json: bool) -> None:
    """Print the comparison of every record in the results folder that has one, the largest error first.

    Raises:
        UserError: there is none.
    """

    results = results_dir()
    networks = group_alike((record.name, record) for record in read_all(results))
    if not networks:
        raise UserError(f"{results}: holds no record of a gradient that the theory covers; `vgt reproduce` makes some")
    arms = [(_join(network.names), network.comparison) for network in networks]
    if as_json:
        click.echo(json.dumps([{"arm": name} | found.to_json() for name, found in arms], indent=1))
        return
    console.print(slope_table(arms, "Gradient slope at initialisation, decades a layer; negative vanishes"))
    console.print(summary([found for _, found in arms]), highlight=False)


def summary(compared: Sequence[Comparison]) -> str:
    """Say how many networks lie within the tolerance, plain and wide ones by themselves."""

    wide = [found for found in compared if found.is_wide_and_plain]
    near = sum(not found.reason for found in compared)
    return (
        f"{near} of {len(compared)} networks within {TOLERANCE:g} decades a layer; of the {len(wide)} plain ones of "
        f"width {WIDE} and more, {sum(not found.reason for found in wide)}."
    )


def _join(names: list[str]) -> str:
    """Return the names of arms that begin as the same network: they only differ in how they are trained."""
    unlike = sorted(set(names))
    return unlike[0] if len(unlike) == 1 else f"{unlike[0]} and {len(unlike) - 1} more"
