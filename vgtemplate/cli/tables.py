"""How results look in a terminal: verdict tables and arm tables; numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from vgtemplate.claims.judge import PartVerdict
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


def _coloured(verdict: str, text: str | None = None) -> str:
    colour = _COLOURS[verdict]
    return f"[{colour}]{text or verdict}[/{colour}]"


def _part_cells(result: Result, part: PartVerdict) -> tuple[str, str, str, str]:
    published = result.claim.published.get(part.title)
    effect = spread(part.effects) + (f"\npublished {number(published)}" if published is not None else "")
    count = f"{part.cleared} of {len(part.effects)}"
    return part.title, effect, part.threshold, _coloured(part.verdict, count)


def verdict_table(results: Sequence[Result], title: str) -> Table:
    """Return the table of all claims, one line a part."""
    table = Table(title=title, title_justify="left", show_lines=False, pad_edge=False)
    for column in ("claim", "verdict", "effect", "median \\[min, max]", "threshold", "clear", "literature", "time"):
        table.add_column(column, overflow="fold", justify="right" if column == "time" else "left")
    for result in results:
        verdict = result.verdict.verdict if result.verdict else "failed"
        label = _coloured(verdict) + (
            "\n(provisional)" if result.verdict is not None and result.verdict.provisional else ""
        )
        head = (f"[bold]{result.claim.id}[/bold]\n{result.claim.statement}", label)
        tail = (result.claim.literature, f"{result.wall_seconds:.1f} s")
        if result.verdict is None:
            table.add_row(*head, result.failure or "", "", "", "", *tail)
        for index, part in enumerate(result.verdict.parts if result.verdict else ()):
            first = index == 0
            table.add_row(*(head if first else ("", "")), *_part_cells(result, part), *(tail if first else ("", "")))
        table.add_section()
    return table


def arm_table(records: Sequence[Record], title: str) -> Table:
    """Return the table of trained arms: median [min, max] over the seeds."""
    table = Table(title=title, title_justify="left", pad_edge=False)
    for column in (
        "arm",
        "seeds",
        "final training loss",
        "test accuracy",
        "gradient slope",
        "diverged",
        "time",
        "record",
    ):
        table.add_column(column, overflow="fold")
    from vgtemplate.claims.metrics import final_loss, gradient_slope, test_accuracy

    for record in records:
        accuracy = test_accuracy(record) if "test_accuracy" in record.series else None
        slope = gradient_slope(record) if "gradient_rms" in record.series else None
        table.add_row(
            record.name,
            str(len(record.seeds)),
            spread(list(final_loss(record))),
            "-" if accuracy is None else spread(list(accuracy)),
            "-" if slope is None else spread(list(slope)),
            f"{int((record.series['diverged_at'] >= 0).sum())} of {len(record.seeds)}",
            f"{record.wall_seconds:.1f} s",
            record.key,
        )
    return table
