"""Every arm's gradient slope at initialisation in theory and measured: what `vgt predict --records` prints."""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import print_json
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError
from vgtemplate.prediction import TOLERANCE, Comparison, compare_networks
from vgtemplate.records import read_all

Arms = list[tuple[str, Comparison]]

_COLUMNS = (
    Column("arm", folds=True),
    Column("theory", justify="right"),
    Column("19 of 20 networks", rank=2, justify="right"),
    Column("measured: median \\[min, max]", rank=1, justify="right"),
    Column("error", justify="right"),
    Column(f"where the error is above {TOLERANCE:g}", rank=3, folds=True),
)


def slope_table(arms: Arms, title: str, width: int) -> Group:
    """Return the table of arms in their order, no wider than `width`."""
    rows = [
        [
            escape(name),
            f"{found.predicted:+.4f}",
            f"{found.low:+.3f} to {found.high:+.3f}",
            escape(f"{found.median:+.4f} [{min(found.measured):+.3f}, {max(found.measured):+.3f}]"),
            f"{found.error:+.4f}",
            found.reason,
        ]
        for name, found in arms
    ]
    return make_table(title, _COLUMNS, rows, width)


def print_slopes(console: Console, as_json: bool) -> None:
    """Print the comparison of every record in the results folder that has one, the largest error first.

    Raises:
        UserError: there is none.
    """
    results = results_dir()
    networks = compare_networks(([record.name], record) for record in read_all(results))
    if not networks.compared:
        raise UserError(f"{results}: holds no record of a gradient that the theory covers; `vgt train` makes some")
    arms = [(_join(network.names), network.comparison) for network in networks.compared]
    if as_json:
        print_json([{"arm": name} | found.to_json() for name, found in arms])
        return
    title = "Gradient slope at initialisation, decades per layer; negative vanishes"
    console.print(slope_table(arms, title, console.width))
    console.print(networks.summary, markup=False, highlight=False)


def _join(names: list[str]) -> str:
    """Return the names of arms that begin as the same network: they only differ in how they are trained."""
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first
