"""Figures of one record: the gradient along depth, and along depth and time. Figures only; never torch, never pyplot.

Every figure names its data set and number of seeds. Colour and height are decades; what has no logarithm (zero) or is
not finite is not drawn, and the figure says how many values that are.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgtemplate.figures.style import dress, shorten
from vgtemplate.metrics.registry import log10
from vgtemplate.records import Array, Record
from vgtemplate.text import write_count

_SIZE_INCHES = (7.2, 4.4)
_DPI = 100
_MIN_DECADES = 2.0
"""Least range of a scale: a gradient that stays the same is to look the same."""
_MISSING = "0.85"
_ALL_LABELLED = 12
_MAX_TICKS = 8
_MAX_TITLE = 55
_MAX_MARKED = 30
_PLOT = (0.1, 0.16, 0.87, 0.69)
LAYER_AXIS = "hidden layer (1: nearest the input)"
"""Label of an axis of layers."""
_UNIT = "log10 of the RMS of dL/dz"


def finite(values: Array) -> Array:
    """Return the values as float64, those that are infinite as NaN: a line through them has a gap there."""
    return np.where(np.isfinite(values), values, np.nan)


def median_of_seeds(values: Array) -> Array:
    """Return the median over axis 0; a replica without a finite value counts as infinite, never as absent."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.median(np.where(np.isnan(values), np.inf, values), axis=0))


def _scale(logs: Array) -> tuple[float, float]:
    """Return the limits of a scale that holds the finite `logs` and spans at least _MIN_DECADES."""
    finite = logs[np.isfinite(logs)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 1.0)
    spare = max(0.0, _MIN_DECADES - (high - low)) / 2
    return low - spare, high + spare


def _explain_missing(values: Array) -> str:
    """Say in words how many values a logarithmic figure cannot show."""
    zeros, others = int((values == 0).sum()), int((~np.isfinite(values)).sum())
    parts = [f"{number} {what}" for number, what in ((zeros, "zero"), (others, "not finite")) if number]
    return f"not drawn: {' and '.join(parts)} of {values.size} values" if parts else ""


def _start(record: Record, arm: str, what: str, values: Array) -> tuple[Figure, Axes]:
    """Return a figure headed by arm, content, seeds and data set, with a note of what it cannot show."""
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI)
    axes = figure.add_axes(_PLOT)
    seeds, data = len(record.seeds), record.dataset.get("name", "no data set")
    figure.text(0.1, 0.935, shorten(arm, _MAX_TITLE), fontsize=12, weight="bold")
    figure.text(0.1, 0.88, f"{what}; {write_count(seeds, 'seed')}, {data}", fontsize=9, color="0.35")
    figure.text(0.97, 0.012, _explain_missing(values), fontsize=8, color="firebrick", ha="right")
    if not np.isfinite(log10(values)).any():
        axes.text(0.5, 0.5, "nothing to draw", transform=axes.transAxes, ha="center", va="center", color="0.35")
    axes.set_ylabel(_UNIT)
    return figure, axes


def draw_gradient_profile(record: Record, arm: str) -> Figure:
    """Draw the gradient profile before the first update: each seed thin, the median over seeds thick."""
    values = record.probe("gradient_rms")
    layers = np.arange(1, values.shape[1] + 1)
    figure, axes = _start(record, arm, f"gradient at the start{'; thick: median' * (len(values) > 1)}", values)
    logs, median = finite(log10(values)), finite(log10(median_of_seeds(values)))
    # A lone finite point between missing ones has no line to show it.
    marker = "o" if len(layers) <= _MAX_MARKED or np.isnan(median).any() else ""
    if len(values) > 1:
        axes.plot(layers, logs.T, color="tab:blue", linewidth=0.7, alpha=0.45, marker=marker, markersize=2)
    axes.plot(layers, median, color="navy", linewidth=2.2, marker=marker, markersize=4)
    low, high = _scale(logs)
    margin = 0.05 * (high - low)
    axes.set(xlim=(0.5, len(layers) + 0.5), ylim=(low - margin, high + margin), xlabel=LAYER_AXIS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    dress(axes)
    return figure


def draw_gradient_heat_map(record: Record, arm: str) -> Figure:
    """Draw the gradient over the layers and the probed steps (median over seeds), or the seeds if there is one step."""
    values = np.asarray(record.series["gradient_rms"], dtype=np.float64)
    over_time = values.shape[1] > 1
    labels = record.series.get("probe_steps", np.arange(values.shape[1])) if over_time else record.seeds
    shown = median_of_seeds(values).T if over_time else values[:, 0, :].T
    what = "gradient in training, median over the seeds" if over_time else "gradient at the start, seed by seed"
    figure, axes = _start(record, arm, what, shown)
    logs = finite(log10(shown))
    low, high = _scale(logs)
    image = axes.imshow(
        np.ma.masked_invalid(logs),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colormaps["viridis"].with_extremes(bad=_MISSING),
        vmin=low,
        vmax=high,
        extent=(-0.5, logs.shape[1] - 0.5, 0.5, logs.shape[0] + 0.5),
    )
    stride = 1 if len(labels) <= _ALL_LABELLED else -(-len(labels) // _MAX_TICKS)
    axes.set_xticks(range(0, len(labels), stride), [str(label) for label in labels[::stride]])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    axes.set(xlabel="training step" if over_time else "seed", ylabel=LAYER_AXIS)
    left, bottom, width, height = _PLOT
    axes.set_position((left, bottom, width - 0.13, height))
    figure.colorbar(image, cax=figure.add_axes((left + width - 0.1, bottom, 0.025, height)), label=_UNIT)
    return figure


def write_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_pictures(record: Record, arm: str) -> dict[str, bytes]:
    """Return every picture of a record by file name; none if its gradients were not probed."""
    if "gradient_rms" not in record.series:
        return {}
    return {
        "gradient_heat_map.png": write_png(draw_gradient_heat_map(record, arm)),
        "gradient_profile.png": write_png(draw_gradient_profile(record, arm)),
    }
