"""Figure of several arms side by side: how much of the gradient reaches each layer, measured and in theory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgtemplate.figures.records import LAYER_AXIS, finite, median_of_seeds
from vgtemplate.figures.style import FONT, INK, SERIES_COLOURS, start_figure
from vgtemplate.metrics.registry import log10
from vgtemplate.prediction import predict_record
from vgtemplate.records import Array, Record

_LEAST = 2.0
"""Decades that the axis spans at least: a gradient that stays the same is to look the same."""


def draw_profiles(records: Sequence[Record]) -> Figure:
    """Draw each record's gradient before the first step, relative to its last layer, with the theory as a dotted line.

    The line is the median over the seeds, the shade their range. A record without probed gradients is left out.
    """
    shown = [record for record in records if "gradient_rms" in record.series]
    figure, (axes,) = start_figure((7.2, 4.0), dpi=120)
    for record, colour in zip(shown, _colours(len(shown)), strict=True):
        logs = _relative(record)
        layers = np.arange(1, logs.shape[1] + 1)
        middle = finite(median_of_seeds(logs))
        axes.fill_between(layers, finite(logs.min(0)), finite(logs.max(0)), color=colour, alpha=0.2, linewidth=0)
        axes.plot(layers, middle, color=colour, linewidth=2.2, label=f"{record.name}: {_arrives(middle)}")
        if (prediction := predict_record(record)) is not None:
            axes.plot(layers, finite(prediction.log10_gradient_rms), color=INK, linewidth=1.2, linestyle=":", zorder=3)
    axes.plot([], [], color=INK, linewidth=1.2, linestyle=":", label="theory, which saw no measurement")
    low, high = axes.get_ylim()
    spare = max(0.0, _LEAST - (high - low)) / 2
    axes.set(ylim=(low - spare, high + spare), xlabel=LAYER_AXIS, ylabel="gradient, in powers of ten\n(last layer: 0)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    axes.set_title(_title(shown), fontsize=FONT, loc="left")
    axes.legend(loc="best", fontsize=FONT - 1, frameon=False, title="from the last layer to the first")
    return figure


def _relative(record: Record) -> Array:
    """Return log10 of the gradient at the first probe over that of the last hidden layer, (R, L)."""
    logs = log10(np.asarray(record.probe("gradient_rms"), dtype=np.float64))
    with np.errstate(invalid="ignore"):
        return np.asarray(logs - logs[:, -1:])


def _arrives(middle: Array) -> str:
    """Say by what the gradient is multiplied on its way from the last layer to the first."""
    first = float(middle[0])
    if not np.isfinite(first):
        return "nothing is left"
    return f"times {10**first:.3g}" if abs(first) < 3 else f"times 10^{first:.0f}"


def _title(records: Sequence[Record]) -> str:
    if not records:
        return "no gradient was probed"
    data, seeds = records[0].dataset.get("name", "own data"), len(records[0].seeds)
    return f"before training, {data}, {seeds} seed{'' if seeds == 1 else 's; shaded: their range'}"


def _colours(number: int) -> list[str]:
    return [SERIES_COLOURS[index % len(SERIES_COLOURS)] for index in range(number)]
