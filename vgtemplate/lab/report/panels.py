"""The panels that claims' figures are made of; never a verdict, torch or pyplot.

A panel shows values along the layers, training curves, or one number per seed. Every seed is drawn thin, the median
over the seeds thick; of more than thirty seeds some are drawn, and the range of all is shaded. `values` of a panel
raises KeyError where a record lacks what the panel shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from vgtemplate.config.catalogue import METRICS
from vgtemplate.figures.records import LAYER_AXIS, finite, median_of_seeds
from vgtemplate.figures.style import FONT, INK, shorten
from vgtemplate.metrics.registry import log10, named
from vgtemplate.prediction import predict_record
from vgtemplate.records import Array, Record
from vgtemplate.theory.profiles import Prediction

Style = dict[str, Any]
"""An arm's colour and dash, as matplotlib's keywords."""
Arms = Mapping[str, Record]
Styles = Mapping[str, Style]
Thresholds = Mapping[str, Sequence[float]]
"""Arm to the bounds that its own value must keep."""

_MAX_POINTS = 100
_SEED_POINTS, _SPARSEST = 500, 5
"""Points that the seeds of an arm share in a panel of curves, and of how many at least one is drawn."""
_WINDOWS = 50
"""A curve is averaged over a fiftieth of its length."""
_MANY = 30.0
"""A curve whose values span more than this ratio is drawn on a logarithmic axis."""
_EXPLODED = 100.0
"""Values beyond it are drawn on an axis that is logarithmic outside [-1, 1]."""
_FEW_LAYERS = 12
_FEW_SEEDS, _MOST_DRAWN = 10, 30
THEORY: Style = {"color": INK, "linestyle": (0, (1, 1.8)), "linewidth": 1.5, "zorder": 3}
"""How a line of the theory looks, whatever the arm: it lies on the measured one."""


def smooth(curves: Array) -> tuple[Array, Array]:
    """Average curves (R, T) over the last steps and thin them out; return steps (P,) and curves (R, P).

    A value is the mean of a fiftieth of the steps, of fewer at the start; it is NaN from where a curve is not finite.
    """
    length = curves.shape[1]
    window = max(1, length // _WINDOWS)
    ended = np.maximum.accumulate(~np.isfinite(curves), axis=1)
    curves = np.where(ended, np.nan, curves)
    steps = np.unique(np.linspace(0, length - 1, min(length, _MAX_POINTS)).astype(int))
    means = [curves[:, max(0, step - window + 1) : step + 1].mean(axis=1) for step in steps]
    return steps, np.stack(means, axis=1)


def _thin_out(curves: Array) -> int:
    """Say of how many points one is drawn of each seed: a page that many seeds make large is slow on a telephone."""
    return min(_SPARSEST, max(1, curves.size // _SEED_POINTS))


def _draw_seeds(
    axes: Axes, places: Array, seeds: Array, median: Array, style: Style, marker: str = "", every: int = 1
) -> None:
    """Draw every seed thin unless there is one only, (R, P), and their median thick, (P,).

    Of a seed the last point is drawn and those that lie `every` points apart before it, all where it diverged.
    """
    if len(seeds) > _MOST_DRAWN:
        known = np.ma.masked_invalid(seeds)
        low, high = (np.ma.filled(bound, np.nan) for bound in (known.min(axis=0), known.max(axis=0)))
        axes.fill_between(places, low, high, color=style["color"], alpha=0.12, linewidth=0)
        seeds = seeds[:: math.ceil(len(seeds) / _MOST_DRAWN)]
    if len(seeds) > 1:
        # Thirty lines as strong as ten would hide the median.
        alpha = 0.45 * min(1.0, (_FEW_SEEDS / len(seeds)) ** 0.5)
        thin = style | {"linewidth": 0.8, "alpha": alpha, "linestyle": "solid"}
        whole = np.isfinite(seeds).all(axis=1)
        drawn = np.arange(len(places) - 1, -1, -every)[::-1]
        axes.plot(places[drawn], seeds[whole][:, drawn].T, **thin)
        axes.plot(places, seeds[~whole].T, **thin)
    axes.plot(places, median, **style, linewidth=1.9, marker=marker, markersize=3)


@dataclass(frozen=True)
class Profile:
    """Values along the hidden layers, each seed and the median, and what theory expects."""

    title: str
    values: Callable[[Record], Array]
    """Record to (R, L)."""
    theory: Callable[[Prediction], Array] | None = None
    """Prediction to (L,), logarithmic where the panel is; of values at initialisation only."""
    logarithmic: bool = True
    is_relative: bool = False
    """Whether theory knows the values relative to the last hidden layer only; it is drawn from the median there."""

    def _shown(self, values: Array) -> Array:
        return finite(log10(values)) if self.logarithmic else values

    def draw(self, axes: Axes, arms: Arms, styles: Styles, _: Thresholds) -> None:
        """Draw every arm."""
        for arm, record in arms.items():
            values = self.values(record)
            layers = np.arange(1, values.shape[1] + 1)
            median = self._shown(median_of_seeds(values))
            # A lone finite point between missing ones has no line to show it.
            marker = "o" if len(layers) <= _FEW_LAYERS or not np.isfinite(median).all() else ""
            _draw_seeds(axes, layers, self._shown(values), median, styles[arm], marker)
            if self.theory is not None and (prediction := predict_record(record)) is not None:
                expected = self.theory(prediction) + (median[-1] if self.is_relative else 0.0)
                axes.plot(layers, finite(expected), **THEORY)
        if not self.logarithmic and np.abs(axes.get_ylim()).max() > _EXPLODED:
            # One arm that explodes would make all others a line at 0.
            lowest = min(float(np.nanmin(line.get_ydata())) for line in axes.lines)
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=min(0.0, 1.5 * lowest))
        axes.set_xlabel(LAYER_AXIS, fontsize=FONT)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


@dataclass(frozen=True)
class Curves:
    """A series of all training steps, smoothed, each seed and the median; a seed that diverged ends in a cross."""

    title: str
    series: str

    def values(self, record: Record) -> Array:
        """Return the series, (R, T)."""
        return np.asarray(record.series[self.series], dtype=np.float64)

    def draw(self, axes: Axes, arms: Arms, styles: Styles, _: Thresholds) -> None:
        """Draw every arm."""
        drawn = []
        for arm, record in arms.items():
            steps, values = smooth(self.values(record))
            _draw_seeds(axes, steps, values, finite(median_of_seeds(values)), styles[arm], every=_thin_out(values))
            for ended in values[np.isnan(values).any(axis=1)]:
                last = int(np.isfinite(ended).sum()) - 1
                if last >= 0:
                    axes.plot(steps[last], ended[last], marker="x", markersize=6, color=styles[arm]["color"])
            drawn.append(values[np.isfinite(values)])
        known = np.concatenate(drawn)
        if known.size and known.min() > 0 and known.max() / known.min() > _MANY:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("training step", fontsize=FONT)


@dataclass(frozen=True)
class Bars:
    """A metric: one dot per seed, a bar to the median, the threshold where a part sets one for the arm alone."""

    metric: str
    options: tuple[tuple[str, int], ...] = ()
    """Of the metric."""

    @property
    def title(self) -> str:
        """Name the metric and its unit."""
        unit = METRICS[self.metric].unit if self.metric in METRICS else ""
        words = ", ".join([self.metric, *(f"{name} {value}" for name, value in self.options)])
        words = words.replace("_", " ").replace("psnr", "PSNR")
        return words + (f" ({unit})" if unit else "")

    def values(self, record: Record) -> Array:
        """Return the metric, (R,)."""
        return np.asarray(named(self.metric)(record, **dict(self.options)), dtype=np.float64)

    def draw(self, axes: Axes, arms: Arms, styles: Styles, thresholds: Thresholds) -> None:
        """Draw every arm."""
        for row, (arm, record) in enumerate(arms.items()):
            values, colour = self.values(record), styles[arm]["color"]
            known = values[np.isfinite(values)]
            median = float(median_of_seeds(values))
            if np.isfinite(median):
                axes.barh(row, median, height=0.62, color=colour, alpha=0.45, linewidth=0)
            spread = np.linspace(-0.2, 0.2, len(known)) if len(known) > 1 else np.zeros(len(known))
            axes.plot(known, row + spread, linestyle="", marker="o", markersize=3, color=colour)
            counts = {"never": np.isinf(values).sum(), "without a value": np.isnan(values).sum()}
            words = ", ".join(f"{count} of {len(values)} {what}" for what, count in counts.items() if count)
            if words:
                along = axes.get_yaxis_transform()
                axes.text(0.99, row, words, transform=along, ha="right", va="center", fontsize=FONT - 1)
            for bound in thresholds.get(arm, ()):
                axes.plot([bound, bound], [row - 0.45, row + 0.45], color=INK, linewidth=1.4, linestyle=(0, (2, 1.2)))
        axes.set_yticks(range(len(arms)), [shorten(arm) for arm in arms])
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))


Panel = Profile | Curves | Bars
