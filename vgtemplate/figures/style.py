"""What all figures share: their canvas, axes, colours and size of text. Never pyplot, whose figures are global."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAPER, INK, MUTED, GRID = "#ffffff", "#000000", "#595959", "#e5e5e5"
"""Colours of a figure that follow the page's light or dark scheme: ground, text and axes, lesser text, grid lines."""
SERIES_COLOURS = ("#2697f7", "#9f4e1d", "#007454", "#ff538d", "#7a579c", "#ba8c03")
"""Colours of curves, of middle lightness: each stands out from a white and from a nearly black page, and from the
others also for eyes that lack one kind of cones."""
FONT = 10
"""Size of the text in points; ticks are one smaller."""


def shorten(name: str, longest: int = 24) -> str:
    """Return a name that fits beside a panel, or into `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def dress(axes: Axes) -> Axes:
    """Give axes the common grid, ticks and frame, and return them."""
    axes.tick_params(labelsize=FONT - 1, length=2.5)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def start_figure(
    size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of this size in inches with dressed axes, row by row, which share the room among them."""
    figure = Figure(figsize=size, layout="constrained", **options)
    return figure, [dress(figure.add_subplot(rows, columns, index + 1)) for index in range(rows * columns)]
