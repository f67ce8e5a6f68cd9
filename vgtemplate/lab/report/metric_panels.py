"""Which panels show which metric; a metric that is not named here is shown as bars, one dot per seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter

import numpy as np

from vgtemplate.lab.claim import PartConfig
from vgtemplate.lab.report.panels import Bars, Curves, Panel, Profile
from vgtemplate.metrics.initial import signal_offset, signal_variance
from vgtemplate.records import Array, Record


def _probed(name: str, index: int = 0) -> Callable[[Record], Array]:
    return lambda record: record.probe(name, index)


def _mean_over_probes(name: str) -> Callable[[Record], Array]:
    return lambda record: np.asarray(record.series[name], dtype=np.float64).mean(axis=1)


def _falls(record: Record) -> Array:
    return np.asarray(record.series["test_accuracy"][:, None] - record.series["accuracy_without_layer"])


_GRADIENT = Profile(
    "gradient at the start: log10 of RMS dL/dz",
    _probed("gradient_rms"),
    attrgetter("log10_gradient_rms"),
    is_relative=True,
)
_SIGNAL = Profile("signal at the start: log10 of RMS activation", _probed("signal_rms"), attrgetter("log10_signal_rms"))
_BIAS = Profile(
    "log10 of the bias gradient's norm", _probed("bias_grad_norm"), attrgetter("log10_bias_gradient"), is_relative=True
)
_SATURATED = Profile(
    "saturated fraction", _probed("saturated_fraction"), attrgetter("saturated_fraction"), logarithmic=False
)
_MEAN = Profile("mean of the activations", _probed("signal_mean"), attrgetter("signal_mean"), logarithmic=False)
_SPREAD = Profile("variance of the activations", signal_variance, attrgetter("signal_variance"), logarithmic=False)
_OFFSET = Profile(
    "|mean| / deviation of the activations",
    signal_offset,
    lambda prediction: np.abs(prediction.signal_mean) / np.sqrt(prediction.signal_variance),
    logarithmic=False,
)
_UPDATE = Profile(
    "log10 of ||dW|| / ||W|| in the first step",
    _probed("update_ratio"),
    attrgetter("log10_weight_gradient"),
    is_relative=True,
)
_TRAVEL = Profile("log10 of the travel ||W_t - W_0|| / ||W_0||", _probed("travel", -1))
_SHIFT = Profile("drift of a layer's input per step", _mean_over_probes("input_shift"), logarithmic=False)
_LOG_SHIFT = Profile("log10 of the drift of a layer's input per step", _mean_over_probes("input_shift"))
_FALL = Profile("test accuracy lost by leaving out one layer", _falls, logarithmic=False)
_TURN = Profile("||G - G'|| / ||G||", _mean_over_probes("gradient_change"), logarithmic=False)
_LOSS, _ACCURACY = Curves("training loss", "train_loss"), Curves("training accuracy", "train_accuracy")
_PSNR = Curves("training PSNR (dB)", "train_psnr")
_WEIGHT_NORM = Curves("norm of all weights", "weight_norm")
_GRADIENT_NORM = Curves("norm of the whole gradient", "gradient_norm")

_INSTEAD_OF_BARS: Mapping[tuple[Panel, ...], str] = {
    (_GRADIENT,): "gradient_slope abs_gradient_slope gradient_fit_r2 factor_error factor_sign_agrees",
    (_SIGNAL,): "signal_slope abs_signal_slope",
    (_SIGNAL, _GRADIENT): "larger_abs_slope",
    (_BIAS,): "bias_gradient_ratio log10_bias_gradient_ratio",
    (_SATURATED,): "saturated_fraction",
    (_MEAN,): "largest_abs_mean",
    (_SPREAD,): "largest_variance_error",
    (_MEAN, _SPREAD): "self_normalising_excess",
    (_UPDATE,): "update_ratio_spread",
    (_OFFSET,): "smallest_offset offset",
    (_LOSS,): "final_loss validation_loss diverged",
    (_TRAVEL,): "first_layer_travel log10_travel_ratio",
    (_SHIFT,): "input_shift",
    (_LOG_SHIFT,): "median_input_shift",
    (_TURN,): "gradient_change",
}
_BESIDE_BARS: Mapping[tuple[Panel, ...], str] = {
    (_LOSS,): "test_accuracy test_error training_error steps_to_loss",
    (_PSNR,): "psnr",
    (_ACCURACY,): "generalisation_gap",
    (_SHIFT,): "shift_depth_correlation",
    (_FALL,): "largest_fall",
    (_WEIGHT_NORM,): "final_weight_norm",
    (_GRADIENT_NORM,): "largest_gradient_norm",
    (_GRADIENT,): "zero_gradient_share",
}
INSTEAD_OF_BARS, BESIDE_BARS = (
    {metric: panels for panels, names in table.items() for metric in names.split()}
    for table in (_INSTEAD_OF_BARS, _BESIDE_BARS)
)
"""Metric to what shows it better than bars, or explains the bars."""


def panels_of(part: PartConfig) -> tuple[Panel, ...]:
    """Return what shows a part's metric: bars, unless there is something better."""
    bars = Bars(part.metric, tuple(part.options.items()))
    return INSTEAD_OF_BARS.get(part.metric) or (*BESIDE_BARS.get(part.metric, ()), bars)
