"""Committed verdicts as one picture: each claim's name beside the colour and the sign of its verdict."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgtemplate.figures.style import FONT, INK, MUTED, PAPER
from vgtemplate.lab.judge import CONFIRMED, DEPENDS, NOT_TESTED, OPEN, PARTLY, REFUTED, VERDICTS
from vgtemplate.lab.verdicts import Verdicts
from vgtemplate.text import write_count

LOOKS = {
    CONFIRMED: ("#00763a", "✓"),
    REFUTED: ("#8d0004", "✗"),
    PARTLY: ("#976808", "◐"),
    DEPENDS: ("#48238e", "≈"),
    NOT_TESTED: ("#0b443f", "∅"),
    OPEN: ("#1873e1", "…"),
}
"""By verdict, as in the report: a colour that those who see few colours tell from the others, and a sign."""
_COLUMNS = 4
_ROW = 0.24
"""Height of a claim's line in inches."""


def draw_verdicts(verdicts: Verdicts) -> Figure:
    """Draw every claim of a file of verdicts, in columns, in the order of the verdicts and of the names."""
    chosen = sorted(verdicts.claims, key=lambda name: (VERDICTS.index(verdicts.claims[name].verdict), name))
    rows = max(1, -(-len(chosen) // _COLUMNS))
    figure = Figure(figsize=(9.6, (rows + 3) * _ROW), dpi=88, facecolor=PAPER)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set(xlim=(0, _COLUMNS), ylim=(rows + 0.5, -2.5))
    axes.axis("off")
    words = f"{write_count(len(chosen), 'claim')} on {verdicts.dataset}, {write_count(verdicts.networks, 'network')}"
    axes.text(0.02, -1.9, words, fontsize=FONT + 1, fontweight="bold", color=INK, va="center")
    _legend(axes, verdicts)
    for index, name in enumerate(chosen):
        column, row = divmod(index, rows)
        _sign(axes, column + 0.05, row + 0.2, verdicts.claims[name].verdict)
        axes.text(column + 0.1, row + 0.2, name, fontsize=FONT - 1.5, color=INK, va="center")
    return figure


def _legend(axes: Axes, verdicts: Verdicts) -> None:
    """Write how many claims have each verdict, beside its sign."""
    place = 0.05
    for word in VERDICTS:
        count = sum(entry.verdict == word for entry in verdicts.claims.values())
        if count:
            _sign(axes, place, -0.9, word)
            text = f"{count} {word}"
            axes.text(place + 0.05, -0.9, text, fontsize=FONT - 1, color=MUTED, va="center")
            place += 0.14 + 0.036 * len(text)


def _sign(axes: Axes, x: float, y: float, verdict: str) -> None:
    colour, sign = LOOKS[verdict]
    box = {"boxstyle": "round,pad=0.18", "facecolor": colour, "edgecolor": colour}
    axes.text(
        x, y, sign, fontsize=FONT - 2, fontweight="bold", color=PAPER, ha="center", va="center_baseline", bbox=box
    )
