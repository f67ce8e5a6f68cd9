"""Which panels show which metric; a metric that has none here is shown as bars, one dot per seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vgtemplate.lab.claim import PartConfig
from vgtemplate.lab.report.panels import Bars, Curves, Panel, Profile
from vgtemplate.metrics import signal_offset, signal_variance
from vgtemplate.records import Array, Record


def _probed(name: str, index: int = 0) -> Callable[[Record], Array]:
    return lambda record: record.probe(name, index)


def _mean_over_probes(name: str) -> Callable[[Record], Array]:
    return lambda record: np.asarray(record.series[name], dtype=np.float64).mean(axis=1)


_GRADIENT = Profile(
    "gradient at the start: log10 of RMS dL/dz",
    _probed("gradient_rms"),
    theory=lambda prediction: prediction.log10_gradient_rms,
    is_relative=True,
)
_SIGNAL = Profile(
    "signal at the start: log10 of RMS activation",
    _probed("signal_rms"),
    theory=lambda prediction: prediction.log10_signal_rms,
)
_BIAS = Profile(
    "log10 of the bias gradient's norm",
    _probed("bias_grad_norm"),
    theory=lambda prediction: prediction.log10_bias_gradient,
    is_relative=True,
)
_SATURATED = Profile(
    "saturated fraction",
    _probed("saturated_fraction"),
    logarithmic=False,
    theory=lambda prediction: prediction.saturated_fraction,
)
_MEAN = Profile(
    "mean of the activations",
    _probed("signal_mean"),
    logarithmic=False,
    theory=lambda prediction: prediction.signal_mean,
)
_SPREAD = Profile(
    "variance of the activations",
    signal_variance,
    logarithmic=False,
    theory=lambda prediction: prediction.signal_variance,
)
_OFFSET = Profile(
    "|mean| / deviation of the activations",
    signal_offset,
    logarithmic=False,
    theory=lambda prediction: np.abs(prediction.signal_mean) / np.sqrt(prediction.signal_variance),
)
_UPDATE = Profile(
    "log10 of ||dW|| / ||W|| in the first step",
    _probed("update_ratio"),
    theory=lambda prediction: prediction.log10_weight_gradient,
    is_relative=True,
)
_TRAVEL = Profile("log10 of the travel ||W_t - W_0|| / ||W_0||", _probed("travel", -1))
_SHIFT = Profile("drift of a layer's input per step", _mean_over_probes("input_shift"), logarithmic=False)
_TURN = Profile("||G - G'|| / ||G||", _mean_over_probes("gradient_change"), logarithmic=False)
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
    "generalisation_gap": (_ACCURACY, Bars("generalisation_gap")),
    "input_shift": (_SHIFT,),
    "gradient_change": (_TURN,),
}
"""What shows a metric better than bars, or beside them."""


def panels_of(part: PartConfig) -> tuple[Panel, ...]:
    """Return what shows a part's metric."""
    return PANELS.get(part.metric) or (Bars(part.metric, tuple(part.options.items())),)
