"""Metrics of a training and of what comes out of it."""

from __future__ import annotations

import numpy as np

from vgtemplate.config.schema import LOSS_WINDOW
from vgtemplate.metrics.registry import Array, log10, metric
from vgtemplate.records import SERIES, Record

CHANCE = 0.1
"""What a diverged run's accuracy counts as (docs/register.md, How a claim is judged)."""


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


@metric("drift of each layer's input per step, of the median layer", unit="deviations")
def median_input_shift(record: Record) -> Array:
    """Return the drift per step of the input of hidden layers 2 to L, averaged over steps; the median of the layers."""
    drift = _series(record, "input_shift")[:, :, 1:].mean(axis=1)
    return np.asarray(np.median(drift, axis=1)) if drift.shape[1] else np.full(len(drift), np.nan)


@metric("Santurkar et al. 2018, definition 2.1: ||G - G'|| / ||G||, averaged")
def gradient_change(record: Record) -> Array:
    """Return ||G - G'|| / ||G|| of hidden layers 2 to L, averaged over steps and layers (Santurkar et al. 2018)."""
    return _mean_above_first_layer(record, "gradient_change")


@metric("Spearman correlation of a hidden layer's drift with its number, layers 2 to L")
def shift_depth_correlation(record: Record) -> Array:
    """Return Spearman's correlation of input_shift, averaged over steps, with the layer's number, layers 2 to L.

    NaN below three hidden layers, and where a drift is NaN or all are equal.
    """
    drift = _series(record, "input_shift")[:, :, 1:].mean(axis=1)
    if drift.shape[1] < 2:
        return np.full(len(drift), np.nan)
    # The mean rank of equal values: how many are smaller, and half of how many are equal.
    later, earlier = drift[:, :, None], drift[:, None, :]
    ranks = (later > earlier).sum(axis=2) + (later == earlier).sum(axis=2) / 2
    ranks -= ranks.mean(axis=1, keepdims=True)
    numbers = np.arange(drift.shape[1]) - (drift.shape[1] - 1) / 2
    with np.errstate(invalid="ignore"):
        correlation = ranks @ numbers / np.sqrt((ranks**2).sum(axis=1) * (numbers @ numbers))
    return np.where(np.isnan(drift).any(axis=1), np.nan, correlation)


@metric("Veit et al. 2016: test accuracy lost by removing the layer that is missed most; diverged = 0")
def largest_fall(record: Record) -> Array:
    """Return the largest fall of the test accuracy by removing one hidden layer, 2 to L; 0 if the replica diverged."""
    without = _series(record, "accuracy_without_layer")[:, 1:]
    worst = without.min(axis=1) if without.shape[1] else np.full(len(without), np.nan)
    return _unless_diverged(record, _series(record, "test_accuracy") - worst, 0.0)


@metric("norm of all weights after the last step; diverged = inf")
def final_weight_norm(record: Record) -> Array:
    """Return the norm of all weights after the last step; inf for a replica that diverged."""
    return _unless_diverged(record, _series(record, "weight_norm")[:, -1], np.inf)


@metric("largest norm of the whole gradient over the run; diverged = inf", unit="loss per unit of weight")
def largest_gradient_norm(record: Record) -> Array:
    """Return the largest norm of the whole gradient over all steps; inf for a replica that diverged."""
    return _unless_diverged(record, _series(record, "gradient_norm").max(axis=1), np.inf)


@metric("largest share of entries of dL/dx_l that are exactly 0, over both looks and layers 2 to L")
def zero_gradient_share(record: Record) -> Array:
    """Return the largest share of exact zeros in dL/dx_l, x_l the input of layer l, over both looks and layers 2 to L.

    NaN for a replica that diverged, which has no gradient any more.
    """
    shares = _series(record, "zero_gradient_fraction")[:, :, 1:]
    return np.asarray(shares.max(axis=(1, 2))) if shares.shape[2] else np.full(len(shares), np.nan)
