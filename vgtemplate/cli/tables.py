"""How results look in a terminal: verdict tables and arm tables; numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vgtemplate.claims.prediction import Comparison
    from vgtemplate.records import Record
    from vgtemplate.reproduce.result import Result

_COLOURS = {
    "confirmed": "green",
    "refuted": "red",
    "mixed": "yellow",
    "inconclusive": "yellow",
    "failed": "bold white on red",
}


def number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Write median, minimum and maximum; a single value as itself."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(float(np.median(values)))} [{number(min(values))}, {number(max(values))}]"


def describe_seeds(seeds: Sequence[int]) -> str:
    """Write a range of seeds."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


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
        beside = "" if published is None else f" (published: {number(published)})"
        count = coloured(part.verdict, f"{part.cleared} of {len(part.effects)}")
        effect = f"[bold]{escape(spread(part.effects))}[/bold]{beside}"
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


def make_console(stderr: bool = False) -> Console:
    """Return the console: as wide as the terminal, 120 columns where the output goes to a file or a pipe."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def _divergence(record: Record) -> str:
    """Say how many replicas diverged, and where the first of them did."""
    steps, layers = record.series["diverged_at"], record.series["diverged_layer"]
    diverged = [(int(step), int(layer)) for step, layer in zip(steps, layers, strict=True) if step >= 0]
    if not diverged:
        return f"0 of {len(record.seeds)}"
    step, layer = min(diverged)
    depth = len(record.labels["layer"]) or record.configuration["model"]["depth"]
    where = f", layer {layer}" if 0 < layer <= depth else ", output" if layer > depth else ""
    return f"{len(diverged)} of {len(record.seeds)} (step {step}{where})"


def usage(record: Record) -> str:
    """Say how fast an arm was trained and how much memory each of its networks took, as far as the record knows."""
    environment = record.environment
    known = [
        ("images_per_second", "images a second"),
        ("megabytes_a_replica", "MB of memory a seed"),
    ]
    return ", ".join(f"{environment[name]:,.0f} {words}" for name, words in known if name in environment)


def arm_table(records: Sequence[Record], title: str) -> Table:
    """Return the table of trained arms: median [min, max] over the seeds."""
    from vgtemplate.claims.metrics import final_loss, gradient_slope, test_accuracy
    from vgtemplate.claims.prediction import compare_slopes

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for column in ("training loss", "test accuracy", "gradient slope", "in theory", "diverged", "time"):
        table.add_column(column, no_wrap=True)
    for record in records:
        accuracy = test_accuracy(record) if "test_accuracy" in record.series else None
        slope = gradient_slope(record) if "gradient_rms" in record.series else None
        compared = compare_slopes(record)
        table.add_row(
            record.name,
            escape(spread(list(final_loss(record)))),
            "-" if accuracy is None else escape(spread(list(accuracy))),
            "-" if slope is None else escape(spread(list(slope))),
            "-" if compared is None else number(compared.predicted),
            _divergence(record),
            f"{record.wall_seconds:.1f} s",
        )
    return table
