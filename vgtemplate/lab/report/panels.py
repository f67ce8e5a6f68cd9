"""The panels that claims' figures are made of, and which metric leads to which; never a verdict, torch or pyplot.

A panel shows values along the layers, training curves, or one number a seed. Every seed is drawn thin, the median over
the seeds thick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from vgtemplate import metrics
from vgtemplate.config.catalogue import METRICS
from vgtemplate.figures.records import LAYER_AXIS, log10, median_of_seeds
from vgtemplate.figures.style import INK
from vgtemplate.prediction import predict_record
from vgtemplate.records import Array, Record
from vgtemplate.theory.profiles import Prediction

Style = dict[str, Any]
"""An arm's colour and dash, as matplotlib's keywords."""
Arms = Mapping[str, Record]
Styles = Mapping[str, Style]
Thresholds = Mapping[str, Sequence[float]]
"""Arm to the bounds that its own value must keep."""

FONT = 10
_PANEL, _BAR = 2.2, 0.3
"""Heights in inches: of a panel, of a bar."""
_MAX_POINTS = 100
_WINDOWS = 50
"""A curve is averaged over a fiftieth of its length."""
_MANY = 30.0
"""A curve whose values span more than this ratio is drawn on a logarithmic axis."""
_EXPLODED = 100.0
"""Values beyond it are drawn on an axis that is logarithmic outside [-1, 1]."""
_LONGEST_NAME = 24
_FEW_LAYERS = 12
THEORY: Style = {"color": INK, "linestyle": (0, (1, 1.8)), "linewidth": 1.5, "zorder": 3}
"""How a line of the theory looks, whatever the arm: it lies on the measured one."""


def shorten(name: str) -> str:
    """Return a name that fits beside a panel."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


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


@dataclass(frozen=True)
class Profile:
    """Values along the hidden layers, each seed and the median, and what theory expects."""

    title: str
    series: str
    values: Callable[[Record], Array]
    """Record to (R, L)."""
    logarithmic: bool = True
    theory: Callable[[Prediction], Array] | None = None
    """Prediction to (L,), logarithmic where the panel is; of values at initialisation only."""
    is_relative: bool = False
    """Whether theory knows the values relative to the last hidden layer only; it is drawn from the median there."""

    def height(self, arms: Arms) -> float:
        """Return the panel's height in inches."""
        return _PANEL

    def draw(self, axes: Axes, arms: Arms, styles: Styles, _: Thresholds) -> None:
        """Draw every arm."""
        for arm, record in arms.items():
            values = np.asarray(self.values(record), dtype=np.float64)
            layers = np.arange(1, values.shape[1] + 1)
            shown = log10 if self.logarithmic else np.asarray
            median = shown(median_of_seeds(values))
            # A lone finite point between missing ones has no line to show it.
            marker = "o" if len(layers) <= _FEW_LAYERS or not np.isfinite(median).all() else ""
            if len(values) > 1:
                axes.plot(layers, shown(values).T, **_thin(styles[arm]))
            axes.plot(layers, median, marker=marker, markersize=3, **_thick(styles[arm]))
            if self.theory is not None and (prediction := predict_record(record)) is not None:
                expected = self.theory(prediction) + (median[-1] if self.is_relative else 0.0)
                axes.plot(layers, np.where(np.isfinite(expected), expected, np.nan), **THEORY)
        if not self.logarithmic and np.abs(axes.get_ylim()).max() > _EXPLODED:
            # One arm that explodes would make all others a line at 0.
            lowest = min(float(np.nanmin(line.get_ydata())) for line in axes.lines)
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=min(0.0, 1.5 * lowest))
        axes.set_xlabel(LAYER_AXIS, fontsize=FONT)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


@dataclass(frozen=True)
class Curves:
    """A series of every training step, smoothed, each seed and the median; a seed that diverged ends in a cross."""

    title: str
    series: str

    def height(self, arms: Arms) -> float:
        """Return the panel's height in inches."""
        return _PANEL

    def draw(self, axes: Axes, arms: Arms, styles: Styles, _: Thresholds) -> None:
        """Draw every arm."""
        drawn = []
        for arm, record in arms.items():
            steps, values = smooth(np.asarray(record.series[self.series], dtype=np.float64))
            if len(values) > 1:
                axes.plot(steps, values.T, **_thin(styles[arm]))
            median = median_of_seeds(values)
            axes.plot(steps, np.where(np.isfinite(median), median, np.nan), **_thick(styles[arm]))
            for ended in values[np.isnan(values).any(axis=1)]:
                last = int(np.isfinite(ended).sum()) - 1
                if last >= 0:
                    axes.plot(steps[last], ended[last], marker="x", markersize=6, color=styles[arm]["color"])
            drawn.append(values[np.isfinite(values)])
        finite = np.concatenate(drawn)
        if finite.size and finite.min() > 0 and finite.max() / finite.min() > _MANY:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("training step", fontsize=FONT)


@dataclass(frozen=True)
class Bars:
    """A metric's value: a dot a seed, a bar to the median, the threshold where a part sets one for the arm alone."""

    metric: str

    @property
    def title(self) -> str:
        """Name the metric and its unit."""
        unit = METRICS[self.metric].unit
        return self.metric.replace("_", " ").replace("psnr", "PSNR") + (f" ({unit})" if unit else "")

    @property
    def series(self) -> str:
        """Name the series without which there is nothing to draw."""
        series = {
            "dead_fraction": "dead_fraction",
            "psnr": "test_psnr",
            "steps_to_loss": "train_loss",
            "training_error": "final_train_accuracy",
        }
        return series.get(self.metric, "test_accuracy")

    def height(self, arms: Arms) -> float:
        """Return the panel's height in inches."""
        return 0.35 + _BAR * len(arms)

    def draw(self, axes: Axes, arms: Arms, styles: Styles, thresholds: Thresholds) -> None:
        """Draw every arm."""
        for row, (arm, record) in enumerate(arms.items()):
            values = np.asarray(metrics.FUNCTIONS[self.metric](record), dtype=np.float64)
            finite, colour = values[np.isfinite(values)], styles[arm]["color"]
            median = float(median_of_seeds(values))
            if np.isfinite(median):
                axes.barh(row, median, height=0.62, color=colour, alpha=0.45, linewidth=0)
            spread = np.linspace(-0.2, 0.2, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
            axes.plot(finite, row + spread, linestyle="", marker="o", markersize=3, color=colour)
            counts = {"never": np.isinf(values).sum(), "without a value": np.isnan(values).sum()}
            if words := ", ".join(f"{count} of {len(values)} {what}" for what, count in counts.items() if count):
                axes.text(
                    0.99, row, words, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=FONT - 1
                )
            for bound in thresholds.get(arm, ()):
                axes.plot([bound, bound], [row - 0.45, row + 0.45], color=INK, linewidth=1.4, linestyle=(0, (2, 1.2)))
        axes.set_yticks(range(len(arms)), [shorten(arm) for arm in arms])
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))


Panel = Profile | Curves | Bars


def _probed(name: str, index: int = 0) -> Callable[[Record], Array]:
    return lambda record: record.probe(name, index)


def _mean_over_probes(name: str) -> Callable[[Record], Array]:
    return lambda record: np.asarray(record.series[name], dtype=np.float64).mean(axis=1)


def _variance(record: Record) -> Array:
    return np.asarray(record.probe("signal_rms") ** 2 - record.probe("signal_mean") ** 2)


def _offset(record: Record) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(record.probe("signal_mean")) / np.sqrt(_variance(record)))


_GRADIENT = Profile(
    "gradient at the start: log10 of RMS dL/dz",
    "gradient_rms",
    _probed("gradient_rms"),
    theory=lambda prediction: prediction.log10_gradient_rms,
    is_relative=True,
)
_SIGNAL = Profile(
    "signal at the start: log10 of RMS activation",
    "signal_rms",
    _probed("signal_rms"),
    theory=lambda prediction: prediction.log10_signal_rms,
)
_BIAS = Profile(
    "log10 of the bias gradient's norm",
    "bias_grad_norm",
    _probed("bias_grad_norm"),
    theory=lambda prediction: prediction.log10_bias_gradient,
    is_relative=True,
)
_SATURATED = Profile(
    "saturated fraction",
    "saturated_fraction",
    _probed("saturated_fraction"),
    logarithmic=False,
    theory=lambda prediction: prediction.saturated_fraction,
)
_MEAN = Profile(
    "mean of the activations",
    "signal_mean",
    _probed("signal_mean"),
    logarithmic=False,
    theory=lambda prediction: prediction.signal_mean,
)
_SPREAD = Profile(
    "variance of the activations",
    "signal_rms",
    _variance,
    logarithmic=False,
    theory=lambda prediction: prediction.signal_variance,
)
_OFFSET = Profile(
    "|mean| / deviation of the activations",
    "signal_mean",
    _offset,
    logarithmic=False,
    theory=lambda prediction: np.abs(prediction.signal_mean) / np.sqrt(prediction.signal_variance),
)
_UPDATE = Profile(
    "log10 of ||dW|| / ||W|| in the first step",
    "update_ratio",
    _probed("update_ratio"),
    theory=lambda prediction: prediction.log10_weight_gradient,
    is_relative=True,
)
_TRAVEL = Profile("log10 of the travel ||W_t - W_0|| / ||W_0||", "travel", _probed("travel", -1))
_SHIFT = Profile("drift of a layer's input a step", "input_shift", _mean_over_probes("input_shift"), logarithmic=False)
_TURN = Profile("||G - G'|| / ||G||", "gradient_change", _mean_over_probes("gradient_change"), logarithmic=False)
_LOSS, _ACCURACY = Curves("training loss", "train_loss"), Curves("training accuracy", "train_accuracy")
_PSNR = Curves("training PSNR (dB)", "train_psnr")

PANELS: Mapping[str, tuple[Panel, ...]] = {
    "gradient_slope": (_GRADIENT,),
    "abs_gradient_slope": (_GRADIENT,),
    "gradient_fit_r2": (_GRADIENT,),
    "factor_error": (_GRADIENT,),
    "factor_sign_agrees": (_GRADIENT,),
    "signal_slope": (_SIGNAL,),
    "abs_signal_slope": (_SIGNAL,),
    "larger_abs_slope": (_SIGNAL, _GRADIENT),
    "bias_gradient_ratio": (_BIAS,),
    "log10_bias_gradient_ratio": (_BIAS,),
    "saturated_fraction": (_SATURATED,),
    "largest_abs_mean": (_MEAN,),
    "largest_variance_error": (_SPREAD,),
    "self_normalising_excess": (_MEAN, _SPREAD),
    "update_ratio_spread": (_UPDATE,),
    "smallest_offset": (_OFFSET,),
    "offset": (_OFFSET,),
    "test_accuracy": (_LOSS, Bars("test_accuracy")),
    "test_error": (_LOSS, Bars("test_error")),
    "training_error": (_LOSS, Bars("training_error")),
    "final_loss": (_LOSS,),
    "validation_loss": (_LOSS,),
    "psnr": (_PSNR, Bars("psnr")),
    "diverged": (_LOSS,),
    "first_layer_travel": (_TRAVEL,),
    "log10_travel_ratio": (_TRAVEL,),
    "steps_to_loss": (_LOSS, Bars("steps_to_loss")),
    "dead_fraction": (Bars("dead_fraction"),),
    "generalisation_gap": (_ACCURACY, Bars("generalisation_gap")),
    "input_shift": (_SHIFT,),
    "gradient_change": (_TURN,),
}
"""What shows a metric."""


def _thin(style: Style) -> dict[str, Any]:
    return {**style, "linewidth": 0.8, "alpha": 0.45, "linestyle": "solid"}


def _thick(style: Style) -> dict[str, Any]:
    return {**style, "linewidth": 1.9}
