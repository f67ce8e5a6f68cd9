"""The figure that shows what a claim is about: the panels that its parts' metrics lead to, one below the other.

Each arm has one colour and dash throughout the figure. Never a verdict, torch or pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vgtemplate.figures.style import FONT, SERIES_COLOURS, dress, shorten
from vgtemplate.lab.claim import ClaimConfig, PartConfig
from vgtemplate.lab.report.metric_panels import panels_of
from vgtemplate.lab.report.panels import Arms, Bars, Curves, Panel, Profile, Style
from vgtemplate.lab.threshold import read_threshold
from vgtemplate.records import Record

_WIDTH = 4.9
_TITLE, _ROW = 0.32, 0.21
"""Heights in inches: above a panel, and of a line of the legend."""
_CHARACTER, _HANDLE = 0.085, 0.5
"""Widths in inches: of a character of a name, and of the line before it."""
_LEFT, _RIGHT = 0.55, 0.12
_DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1)))


def choose_panels(claim: ClaimConfig, records: Mapping[str, Record]) -> dict[Panel, dict[str, Record]]:
    """Return the panels that show a claim's parts, each with the arms that it can draw; none for an exact claim."""
    panels: dict[Panel, dict[str, Record]] = {}
    for part in claim.parts:
        for panel in panels_of(part):
            arms = {arm: records[arm] for arm in part.arms if arm in records and can_draw(panel, records[arm])}
            if arms:
                panels[panel] = panels.get(panel, {}) | arms
    order = list(claim.arms)
    return {panel: dict(sorted(arms.items(), key=lambda item: order.index(item[0]))) for panel, arms in panels.items()}


def can_draw(panel: Panel, record: Record) -> bool:
    """Say whether a record has what a panel shows."""
    try:
        panel.values(record)
    except KeyError:
        return False
    return True


def describe_marks(panels: Iterable[Panel]) -> str:
    """Say what the lines, bars and marks of panels mean."""
    panels = list(panels)
    kinds = {type(panel) for panel in panels}
    words = []
    if kinds - {Bars}:
        words.append("thin: each seed (of more than 30 some, and shaded the range of all); thick: their median")
    if any(isinstance(panel, Profile) and panel.theory is not None for panel in panels):
        words.append("dotted: the theory of wide networks, where it covers the arm")
    if Curves in kinds:
        words.append("a cross: a seed that diverged")
    if Bars in kinds:
        words.append("bar: the median over the seeds, each a dot; dashed: the threshold")
    return "; ".join(words)


def _styles(names: list[str]) -> dict[str, Style]:
    """Give every arm a colour; arms beyond the colours get them again, dashed."""
    count = len(SERIES_COLOURS)
    return {
        name: {"color": SERIES_COLOURS[index % count], "linestyle": _DASHES[index // count % len(_DASHES)]}
        for index, name in enumerate(names)
    }


def _thresholds(parts: Sequence[PartConfig], panel: Panel) -> dict[str, list[float]]:
    """Return, by arm, the bounds of the parts that judge the metric of these bars of that arm alone."""
    found: dict[str, list[float]] = {}
    if not isinstance(panel, Bars):
        return found
    for part in parts:
        if (part.metric, part.options, part.combine) == (panel.metric, dict(panel.options), "only"):
            found.setdefault(part.arms[0], []).extend(read_threshold(part.threshold).bounds)
    return found


def _heights(panel: Panel, arms: Arms) -> tuple[float, float]:
    """Return the height in inches of a panel and of what stands below it."""
    return (0.35 + 0.3 * len(arms), 0.3) if isinstance(panel, Bars) else (2.2, 0.5)


def _draw_legend(figure: Figure, styles: Mapping[str, Style], columns: int) -> None:
    handles = [Line2D([], [], linewidth=1.9, label=shorten(name), **style) for name, style in styles.items()]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        fontsize=FONT,
        frameon=False,
        borderpad=0.1,
        handlelength=1.8,
        columnspacing=1.2,
        labelspacing=0.3,
    )


def _draw_panel(
    figure: Figure, panel: Panel, arms: Arms, styles: Mapping[str, Style], parts: Sequence[PartConfig], top: float
) -> float:
    """Draw one panel whose title begins `top` inches below the figure's top; return where the next one begins."""
    (height, foot), total = _heights(panel, arms), figure.get_figheight()
    names = max(len(shorten(arm)) for arm in arms) * _CHARACTER + 0.12 if isinstance(panel, Bars) else 0.0
    left = max(_LEFT, names)
    bottom = total - top - _TITLE - height
    axes = figure.add_axes((left / _WIDTH, bottom / total, (_WIDTH - left - _RIGHT) / _WIDTH, height / total))
    panel.draw(axes, arms, styles, _thresholds(parts, panel))
    figure.text(0.0, (bottom + height + 0.09) / total, panel.title, fontsize=FONT, fontweight="bold")
    dress(axes)
    return top + _TITLE + height + foot


def draw_panels(panels: Mapping[Panel, Arms], names: Sequence[str], parts: Sequence[PartConfig]) -> Figure | None:
    """Draw panels one below the other; None where there are none.

    Args:
        names: the arms in the order in which they get their colours.
        parts: their thresholds are drawn where a panel shows their metric.
    """
    if not panels:
        return None
    drawn = {arm for arms in panels.values() for arm in arms}
    styles = _styles([arm for arm in names if arm in drawn])
    widest = max(len(shorten(name)) for name in styles) * _CHARACTER + _HANDLE
    columns = max(1, min(len(styles), int(_WIDTH / widest)))
    top = math.ceil(len(styles) / columns) * _ROW + 0.08
    heights = sum(_TITLE + sum(_heights(panel, arms)) for panel, arms in panels.items())
    figure = Figure(figsize=(_WIDTH, top + heights))
    _draw_legend(figure, styles, columns)
    for panel, arms in panels.items():
        top = _draw_panel(figure, panel, arms, styles, parts, top)
    return figure


def draw_claim(claim: ClaimConfig, records: Mapping[str, Record]) -> Figure | None:
    """Draw what a claim's parts measure; None where there is nothing to draw: no record has the series."""
    return draw_panels(choose_panels(claim, records), list(claim.arms), claim.parts)
