"""From a record to numbers: each metric turns one arm's record into one number per seed.

Pure functions of arrays. A metric that cannot be computed is NaN, which no threshold is cleared by. Which layers of a
network of one's own count as hidden, `Record.hidden` says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vgtemplate.config.catalogue import METRICS
from vgtemplate.config.errors import UserError
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.own import find, is_own, their_errors
from vgtemplate.config.schema import LOSS_WINDOW
from vgtemplate.records import SERIES, Record

Array = npt.NDArray[np.float64]
Metric = Callable[..., Array]

FUNCTIONS: dict[str, Metric] = {}
"""By name: a record, and the options of the metric's row, to one number per seed, (R,)."""
metric = METRICS.decorator(FUNCTIONS)
CHANCE = 0.1
"""What a diverged run's accuracy counts as (docs/register.md, How a claim is judged)."""


def named(name: str) -> Metric:
    """Return the metric of a name: of the catalogue, or `module:name` of one's own, a record to one number per seed.

    Raises:
        UserError: one's own cannot be found; or, when it is computed, it fails or gives something else.
    """
    if not is_own(name):
        return FUNCTIONS[name]
    function, what = find("metric", name), f"metric {name}"

    def compute(record: Record) -> Array:
        with their_errors(what):
            values = np.asarray(function(record), dtype=np.float64)
        if values.shape != (len(record.seeds),):
            raise UserError(f"{what}: gives {values.shape}; it must give one number per seed, ({len(record.seeds)},)")
        return values

    return compute


def log10(values: Array) -> Array:
    """Return log10 without a warning: -inf of zero, NaN of what is negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def fit_line(y: Array) -> tuple[Array, Array]:
    """Fit y[r] = a + b * index by least squares: (R, L) -> slopes b (R,), R^2 (R,); NaN where y is not finite."""
    if y.shape[1] < 2:
        return np.full(len(y), np.nan), np.full(len(y), np.nan)
    x = np.arange(y.shape[1], dtype=np.float64)
    x -= x.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = y - y.mean(axis=1, keepdims=True)
        slope = centred @ x / (x @ x)
        residual = centred - slope[:, None] * x
        r2 = 1 - (residual**2).sum(axis=1) / (centred**2).sum(axis=1)
    return slope, r2


def _log_profile(record: Record) -> Array:
    """Return log10 of the gradient profile of hidden layers L down to 2: its index is the distance from the output."""
    return log10(record.hidden("gradient_rms")[:, :0:-1])


@metric("docs/register.md, Terms", unit="decades per layer")
def gradient_slope(record: Record) -> Array:
    """Return the gradient slope at step 0 (docs/register.md, Terms): decades per layer, negative where it vanishes."""
    return fit_line(_log_profile(record))[0]


@metric("docs/register.md, Terms", unit="decades per layer")
def abs_gradient_slope(record: Record) -> Array:
    """Return |gradient slope|."""
    return np.abs(gradient_slope(record))


@metric("R^2 of the gradient slope's fit")
def gradient_fit_r2(record: Record) -> Array:
    """Return the R^2 of the gradient slope's fit: 1 where the decay is exactly exponential."""
    return fit_line(_log_profile(record))[1]


@metric("docs/register.md, Terms", unit="decades per layer")
def signal_slope(record: Record) -> Array:
    """Return the signal slope at step 0 (docs/register.md, Terms): decades per layer, over hidden layers 2 to L."""
    return fit_line(log10(record.hidden("signal_rms")[:, 1:]))[0]


@metric("docs/register.md, Terms", unit="decades per layer")
def abs_signal_slope(record: Record) -> Array:
    """Return |signal slope|."""
    return np.abs(signal_slope(record))


@metric("larger of |signal slope| and |gradient slope|", unit="decades per layer")
def larger_abs_slope(record: Record) -> Array:
    """Return the larger of |signal slope| and |gradient slope|."""
    return np.maximum(abs_signal_slope(record), abs_gradient_slope(record))


def _mean_log_factor(record: Record) -> Array:
    """Return the mean log10 of sqrt(n var(w) mean phi'(z)^2) over the steps from layer l + 1 down to l, l = 2..L-1.

    n is the number of units of layer l + 1, whose weights w carry the gradient down; z is layer l's. NaN below three
    layers.
    """
    # The widths of a network of one's own are not known.
    if record.is_of_own_network or not {"weight_rms", "derivative_rms"} <= record.series.keys():
        return np.full(len(record.seeds), np.nan)
    widths = np.array(ModelConfig.model_validate(record.configuration["model"]).widths(), dtype=np.float64)
    factors = np.sqrt(widths[2:]) * record.hidden("weight_rms")[:, 2:] * record.hidden("derivative_rms")[:, 1:-1]
    return np.asarray(log10(factors).mean(axis=1)) if factors.shape[1] else np.full(len(factors), np.nan)


@metric("|gradient slope - mean log10 of the per-layer factor|", unit="decades per layer")
def factor_error(record: Record) -> Array:
    """Return |gradient slope - mean log10 factor|, the factor from weights and pre-activations alone."""
    return np.abs(gradient_slope(record) - _mean_log_factor(record))


@metric("1 where slope and mean log10 factor have one sign, else 0")
def factor_sign_agrees(record: Record) -> Array:
    """Return 1 where the factor says rightly whether the gradient grows or shrinks, else 0; NaN where either is NaN."""
    slope, factor = gradient_slope(record), _mean_log_factor(record)
    return np.where(np.isnan(slope + factor), np.nan, np.sign(slope) == np.sign(factor))


@metric("Nielsen, ch. 5: last over first hidden layer")
def bias_gradient_ratio(record: Record) -> Array:
    """Return the norm of the last hidden layer's bias gradient over the first's (Nielsen, chapter 5)."""
    norms = record.hidden("bias_grad_norm")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(norms[:, -1] / norms[:, 0])


@metric("Nielsen, ch. 5: last over first hidden layer", unit="decades")
def log10_bias_gradient_ratio(record: Record) -> Array:
    """Return log10 of bias_gradient_ratio, in decades."""
    return log10(bias_gradient_ratio(record))


@metric("docs/register.md, Terms; mean over hidden layers")
def saturated_fraction(record: Record) -> Array:
    """Return the share of saturated pre-activations, averaged over the hidden layers."""
    return np.asarray(record.hidden("saturated_fraction").mean(axis=1))


def signal_variance(record: Record) -> Array:
    """Return the variance of each layer's activations at step 0, (R, L)."""
    return np.asarray(record.hidden("signal_rms") ** 2 - record.hidden("signal_mean") ** 2)


def _largest(values: Array, from_layer: int) -> Array:
    """Return the largest value over hidden layers `from_layer` (from 1) to L: (R, L) -> (R,), NaN beyond L."""
    chosen = values[:, from_layer - 1 :]
    return np.asarray(chosen.max(axis=1)) if chosen.shape[1] else np.full(len(values), np.nan)


@metric("largest |mean| of the activations over layers")
def largest_abs_mean(record: Record, from_layer: int = 1) -> Array:
    """Return the largest |mean| of the activations over hidden layers `from_layer` (from 1) to L."""
    return _largest(np.abs(record.hidden("signal_mean")), from_layer)


@metric("largest |variance - 1| of the activations over layers")
def largest_variance_error(record: Record, from_layer: int = 1) -> Array:
    """Return the largest |variance - 1| of the activations over hidden layers `from_layer` (from 1) to L."""
    return _largest(np.abs(signal_variance(record) - 1), from_layer)


@metric("how far outside Klambauer's band: > 1 is outside")
def self_normalising_excess(record: Record, from_layer: int = 1) -> Array:
    """Return how far the activations leave |mean| < 0.2, variance in [0.5, 1.5]: above 1 is outside, at some layer."""
    return np.maximum(largest_abs_mean(record, from_layer) / 0.2, largest_variance_error(record, from_layer) / 0.5)


@metric("largest over smallest ||dW||/||W|| of the hidden layers")
def update_ratio_spread(record: Record) -> Array:
    """Return the largest over the smallest ||dW||/||W|| of the hidden layers in the first step."""
    ratios = record.hidden("update_ratio")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(ratios.max(axis=1) / ratios.min(axis=1))


def signal_offset(record: Record) -> Array:
    """Return |mean|/deviation of each layer's activations at step 0, (R, L)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.abs(record.hidden("signal_mean")) / np.sqrt(signal_variance(record)))


@metric("smallest |mean|/std of the activations over layers")
def smallest_offset(record: Record) -> Array:
    """Return the smallest |mean|/std of the activations over the hidden layers."""
    return np.asarray(signal_offset(record).min(axis=1))


@metric("|mean|/std of the activations, averaged over layers")
def offset(record: Record) -> Array:
    """Return |mean|/std of the activations, averaged over the hidden layers."""
    return np.asarray(signal_offset(record).mean(axis=1))


@metric("share of test images classified correctly; diverged = 0.1")
def test_accuracy(record: Record) -> Array:
    """Return the test accuracy; CHANCE for a replica that diverged."""
    return _unless_diverged(record, _series(record, "test_accuracy"), CHANCE)


@metric("what training.score asks for, over the test images; diverged = no value")
def test_score(record: Record) -> Array:
    """Return the test score that is no accuracy; NaN for a replica that diverged."""
    return _unless_diverged(record, _series(record, "test_score"), np.nan)


@metric("1 - test accuracy; diverged = 0.9")
def test_error(record: Record) -> Array:
    """Return the share of test images that are misclassified; 1 - CHANCE for a replica that diverged."""
    return 1 - test_accuracy(record)


def _training_accuracy(record: Record) -> Array:
    return _unless_diverged(record, _series(record, "final_train_accuracy"), CHANCE)


@metric("share of all training images misclassified at the end; diverged = 0.9")
def training_error(record: Record) -> Array:
    """Return the share of all training images misclassified at the end; 1 - CHANCE for a replica that diverged."""
    return 1 - _training_accuracy(record)


@metric("mean training loss over the last tenth of the steps; diverged = inf", unit="nats")
def final_loss(record: Record) -> Array:
    """Return the mean training loss of the last tenth of the steps; inf for a replica that diverged."""
    losses = _series(record, "train_loss")
    mean = losses[:, -max(1, losses.shape[1] // 10) :].mean(axis=1)
    return _unless_diverged(record, mean, np.inf)


def _series(record: Record, name: str) -> Array:
    """Return a series; where the record has none, one NaN per seed on its axes."""
    missing = np.full((len(record.seeds), *[1] * (len(SERIES[name].axes) - 1)), np.nan)
    return np.asarray(record.series.get(name, missing), dtype=np.float64)


def _unless_diverged(record: Record, values: Array, otherwise: float) -> Array:
    return np.where(np.asarray(record.series["diverged_at"]) >= 0, otherwise, values)


@metric("loss over the validation images at the end; diverged = inf", unit="nats")
def validation_loss(record: Record) -> Array:
    """Return the loss over the validation images at the end; inf for a replica that diverged."""
    return _unless_diverged(record, _series(record, "validation_loss")[:, -1], np.inf)


@metric("peak signal-to-noise ratio of the denoised test images; diverged = 0", unit="dB")
def psnr(record: Record) -> Array:
    """Return the PSNR of the denoised test images in dB; 0, that of an error as large as the range, if it diverged."""
    return _unless_diverged(record, _series(record, "test_psnr"), 0.0)


@metric("1 where a training loss was not finite, else 0")
def diverged(record: Record) -> Array:
    """Return 1 for a replica whose training loss was not finite at some step, else 0."""
    return (np.asarray(record.series["diverged_at"]) >= 0).astype(np.float64)


@metric("||W_t - W_0|| / ||W_0|| of hidden layer 1 at the end")
def first_layer_travel(record: Record) -> Array:
    """Return the travel of hidden layer 1 at the end (docs/register.md, Terms)."""
    return record.hidden("travel", -1)[:, 0]


@metric("travel of the last over that of the first hidden layer", unit="decades")
def log10_travel_ratio(record: Record) -> Array:
    """Return log10 of the last hidden layer's travel over the first's, at the end, in decades."""
    travel = record.hidden("travel", -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return log10(travel[:, -1] / travel[:, 0])


@metric("steps until the training loss is at stop_loss; never = inf", unit="steps")
def steps_to_loss(record: Record) -> Array:
    """Return the number of steps until the training loss, averaged over LOSS_WINDOW steps, is at the arm's stop_loss.

    inf for a replica that never gets there; NaN where the arm names no stop_loss.
    """
    target = record.configuration["training"]["stop_loss"]
    losses = _series(record, "train_loss")
    if target is None:
        return np.full(len(losses), np.nan)
    if losses.shape[1] < LOSS_WINDOW:
        return np.full(len(losses), np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(losses, LOSS_WINDOW, axis=1)
    reached = windows.mean(axis=2) <= target
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + LOSS_WINDOW, np.inf)


@metric("share of hidden units that are dead at the end (docs/register.md, amendment 3)")
def dead_fraction(record: Record) -> Array:
    """Return the share of dead hidden units at the end (docs/register.md, amendment 3), averaged over the layers."""
    return np.asarray(record.hidden("dead_fraction", -1).mean(axis=1))


@metric("training accuracy minus test accuracy at the end")
def generalisation_gap(record: Record) -> Array:
    """Return training accuracy minus test accuracy at the end; both are CHANCE for a replica that diverged."""
    return _training_accuracy(record) - test_accuracy(record)


def _mean_above_first_layer(record: Record, name: str) -> Array:
    """Return a series' mean over all probes and hidden layers 2 to L, (R,); NaN below two layers."""
    values = _series(record, name)[:, :, 1:]
    return np.asarray(values.mean(axis=(1, 2))) if values.shape[2] else np.full(len(values), np.nan)


@metric("Ioffe & Szegedy 2015: drift of each layer's input per step, averaged", unit="deviations")
def input_shift(record: Record) -> Array:
    """Return the drift per step of the input of hidden layers 2 to L, averaged over steps and layers."""
    return _mean_above_first_layer(record, "input_shift")


@metric("Santurkar et al. 2018, definition 2.1: ||G - G'|| / ||G||, averaged")
def gradient_change(record: Record) -> Array:
    """Return ||G - G'|| / ||G|| of hidden layers 2 to L, averaged over steps and layers (Santurkar et al. 2018)."""
    return _mean_above_first_layer(record, "gradient_change")
