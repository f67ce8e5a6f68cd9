"""Metrics of a network before its training, or in its first step."""

from __future__ import annotations

import numpy as np

from vgtemplate.config.network import ModelConfig
from vgtemplate.metrics.registry import Array, fit_line, log10, metric
from vgtemplate.records import Record


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
