"""The report's page of theory beside measurement: every arm's gradient slope before training, and the phase diagrams.

Results and records in, one HTML file out; judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgtemplate.figures.theory import draw_comparison, draw_phase_diagram
from vgtemplate.lab.report.html import embed, render, write_page
from vgtemplate.lab.result import Read, Result
from vgtemplate.prediction import TOLERANCE, WIDE, Alike, group_alike, why_not_compared
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.phase import grid_around_critical, phase_diagram

_PHASES = ("tanh", "relu")


def collect(results: Sequence[Result], read: Read) -> tuple[list[Alike], dict[str, list[str]]]:
    """Return the networks whose slope has a prediction, the largest error first, and the other arms by the reason."""
    probed = [
        (f"{result.claim.id}: {arm}", record)
        for result in results
        for arm, key in result.keys.items()
        if (record := read(key)) is not None and "gradient_rms" in record.series
    ]
    rows = group_alike(probed)
    shown = {name for row in rows for name in row.names}
    others: dict[str, list[str]] = {}
    for name, record in probed:
        if name not in shown:
            others.setdefault(why_not_compared(record), []).append(name)
    return rows, others


def draw_phases(activation: str) -> str:
    """Return an activation's phase diagram as an image in the page."""
    phi = FORMULAS[activation]
    diagram = phase_diagram(phi, *grid_around_critical(phi))
    return embed(draw_phase_diagram(diagram, activation), f"phase diagram of {activation}")


def write_theory(folder: Path, results: Sequence[Result], read: Read) -> Path:
    """Write theory.html, of every arm of the results, into `folder` as `write_page` does, and return its path."""
    rows, others = collect(results, read)
    compared = [row.comparison for row in rows]
    wide = [comparison for comparison in compared if comparison.is_wide_and_plain]
    text = render(
        "theory.html",
        here="theory",
        rows=rows,
        others=others,
        figure=embed(draw_comparison(compared), "measured less predicted gradient slope of every arm") if rows else "",
        near=sum(not comparison.reason for comparison in compared),
        wide=len(wide),
        wide_near=sum(not comparison.reason for comparison in wide),
        tolerance=TOLERANCE,
        wide_from=WIDE,
        phases={name: draw_phases(name) for name in _PHASES},
    )
    return write_page(folder / "theory.html", text)
