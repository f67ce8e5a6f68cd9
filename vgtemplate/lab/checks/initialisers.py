"""Check of the initialisers: moments, range and distribution of the weights as drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from vgtemplate.config.network import InitialiserConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.records import Array

_VARIANCE: Mapping[str, Callable[[int, int], float]] = {
    "glorot": lambda fan_in, fan_out: 1 / ((fan_in + fan_out) / 2),
    "lecun": lambda fan_in, _: 1 / fan_in,
    "he": lambda fan_in, _: 2 / fan_in,
}


def _draw_weights(name: str, fan_in: int, fan_out: int, counter: int) -> Array:
    """Return the weights of a layer of eight replicas, flat; equal counters mean equal generators."""
    seeds = [derive(5, Stream.CHECKS, counter, replica) for replica in range(8)]
    layer = Linear(fan_in, fan_out, build_draws(InitialiserConfig(name=name), "zeros", seeds))
    return layer.weight.detach().double().flatten().numpy()


def _measure_weights(weights: Array, variance: float, shape: str) -> dict[str, float]:
    """Hold weights against N(0, variance), or the uniform law of that variance, whose range is sqrt(3 variance)."""
    deviation, r = math.sqrt(variance), math.sqrt(3 * variance)
    law = stats.norm(scale=deviation) if shape == "normal" else stats.uniform(-r, 2 * r)
    quantities = {
        "variance_error": float(abs(weights.var() / variance - 1)),
        "offset": float(abs(weights.mean()) / deviation),
        "ks_p": float(stats.kstest(weights, law.cdf, method="asymp").pvalue),
    }
    return quantities | ({"reach": float(np.abs(weights).max() / r)} if shape == "uniform" else {})


def _square_difference(shape: str) -> float:
    """Return the largest difference between LeCun's and Glorot's weights where fan_in = fan_out."""
    lecun, glorot = (_draw_weights(f"{family}_{shape}", 250, 250, counter=0) for family in ("lecun", "glorot"))
    return float(np.abs(lecun - glorot).max())


@check(
    "480,000 weights per layer, fans 300 and 200 either way; scipy.stats.kstest",
    quantities=(
        "glorot_normal_variance_error glorot_normal_offset glorot_normal_ks_p glorot_uniform_variance_error "
        "glorot_uniform_offset glorot_uniform_ks_p glorot_uniform_reach lecun_normal_variance_error "
        "lecun_normal_offset lecun_normal_ks_p lecun_uniform_variance_error lecun_uniform_offset lecun_uniform_ks_p "
        "lecun_uniform_reach he_normal_variance_error he_normal_offset he_normal_ks_p he_uniform_variance_error "
        "he_uniform_offset he_uniform_ks_p he_uniform_reach square_difference"
    ),
)
def init_formulas() -> dict[str, float]:
    """Measure moments, range and distribution of all six initialisers' draws, the worse of two non-square layers."""
    quantities: dict[str, float] = {}
    names = [(family, shape) for family in ("glorot", "lecun", "he") for shape in ("normal", "uniform")]
    for number, (family, shape) in enumerate(names):
        name = f"{family}_{shape}"
        wide, tall = (
            _measure_weights(_draw_weights(name, *fans, counter), _VARIANCE[family](*fans), shape)
            for counter, fans in ((2 * number + 1, (300, 200)), (2 * number + 2, (200, 300)))
        )
        for quantity, value in wide.items():
            worse = min if quantity == "ks_p" else max
            quantities[f"{name}_{quantity}"] = worse(value, tall[quantity])
    return {**quantities, "square_difference": max(_square_difference("normal"), _square_difference("uniform"))}


_FANS = {"equal": (96, 96), "wide": (64, 128), "narrow": (128, 64)}
_LAYERS = 88
"""Layers whose weights are taken together: at least 720,000, a standard error of the variance of 0.17 %."""


@check(
    "88 Glorot normal layers of each pair of fans: 96 and 96, 64 and 128, 128 and 64",
    quantities=(
        "equal_asked_difference equal_forward_error equal_backward_error "
        "wide_asked_difference wide_larger_error narrow_asked_difference narrow_larger_error"
    ),
)
def glorot_needs_equal_fans() -> dict[str, float]:
    """Return how far apart the variances lie that the two conditions ask for, and how far off 1 each factor is.

    Forwards the signal's variance is multiplied by fan_in var(w), backwards the gradient's by fan_out var(w).
    """
    quantities: dict[str, float] = {}
    for number, (name, (fan_in, fan_out)) in enumerate(_FANS.items()):
        seeds = [derive(56, Stream.CHECKS, number, replica) for replica in range(_LAYERS)]
        draws = build_draws(InitialiserConfig(name="glorot_normal"), "zeros", seeds)
        variance = float(Linear(fan_in, fan_out, draws).weight.detach().double().var(correction=0))
        forward, backward = abs(fan_in * variance - 1), abs(fan_out * variance - 1)
        quantities[f"{name}_asked_difference"] = abs(1 / fan_in - 1 / fan_out) * max(fan_in, fan_out)
        if name == "equal":
            quantities |= {f"{name}_forward_error": forward, f"{name}_backward_error": backward}
        else:
            quantities[f"{name}_larger_error"] = max(forward, backward)
    return quantities
