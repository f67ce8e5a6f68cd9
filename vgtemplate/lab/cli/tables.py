"""How verdicts look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from vgtemplate.text import write_number, write_spread

if TYPE_CHECKING:
    from vgtemplate.lab.result import Result
    from vgtemplate.prediction import Comparison

_COLOURS = {
    "confirmed": "green",
    "refuted": "red",
    "mixed": "yellow",
    "inconclusive": "yellow",
    "failed": "bold white on red",
}


def coloured(verdict: str, text: str | None = None) -> str:
    """Return a verdict, or a text about it, in the verdict's colour."""
    colour = _COLOURS[verdict]
    return f"[{colour}]{text or verdict}[/{colour}]"


_MOST_PARTS = 4
"""A claim whose parts all agree shows no more of them unless it was asked for by name."""


def _evidence(result: Result, all_parts: bool) -> str:
    """Return a claim's parts, each with its effect and its threshold; of many that agree, the first."""
    if result.verdict is None:
        return escape(result.failure or "")
    parts = result.verdict.parts
    agree = len({part.verdict for part in parts}) == 1
    shown = parts if all_parts or not agree or len(parts) <= _MOST_PARTS else parts[:1]
    lines = []
    for part in shown:
        published = result.claim.published.get(part.title)
        beside = "" if published is None else f" (published: {write_number(published)})"
        count = coloured(part.verdict, f"{part.cleared} of {len(part.effects)}")
        effect = f"[bold]{escape(write_spread(part.effects))}[/bold]{beside}"
        lines.append(f"{escape(part.title)}: {effect}, to be {part.threshold}: {count}")
    if len(shown) < len(parts):
        lines.append(f"and {len(parts) - len(shown)} more, all {parts[0].verdict}")
    if result.claim.kind == "initial" and result.slopes:
        lines.append(f"[dim]{escape(_slopes(result.slopes))}[/dim]")
    return "\n".join(lines)


def _slopes(slopes: Mapping[str, Comparison]) -> str:
    """Write each arm's gradient slope in theory and measured."""
    pairs = [f"{arm} {found.predicted:+.3f} / {found.median:+.3f}" for arm, found in slopes.items()]
    return f"gradient slope in theory / measured: {', '.join(pairs)}"


def verdict_table(results: Sequence[Result], title: str, all_parts: bool = False) -> Table:
    """Return the table of all claims, a row each."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("claim", ratio=10, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("effect: median \\[min, max], threshold, seeds that clear it", ratio=14)
    table.add_column("literature", ratio=6)
    table.add_column("time", justify="right", no_wrap=True)
    for result in results:
        verdict = result.verdict.verdict if result.verdict else "failed"
        provisional = result.verdict is not None and result.verdict.provisional
        table.add_row(
            f"[bold]{result.claim.id}[/bold]\n{escape(result.claim.statement)}",
            coloured(verdict) + ("\nprovisional" if provisional else ""),
            _evidence(result, all_parts),
            escape(result.claim.literature),
            f"{result.wall_seconds:.1f} s",
        )
        table.add_row()
    return table
