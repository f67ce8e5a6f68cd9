"""Two images on their way through a wide random network, and over how many layers anything about them is forgotten."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from vgtemplate.theory.critical import fixed_point
from vgtemplate.theory.gaussian import Array, Function, gaussian_expectation, gaussian_rule
from vgtemplate.theory.meanfield import chi_1
from vgtemplate.theory.numpy_activations import Activation

_TURNS = (-4.0, -1.0, 0.0, 1.0, 4.0)
"""Where an activation turns: panels of the inner integral end there, whose middle lies elsewhere."""
_IDENTICAL = 1 - 1e-9
"""A correlation from which on two images count as one."""
_CRITICAL = 1e-6
"""A factor closer to 1 counts as 1."""


def pair_expectation(function: Function, q: float, c: float, kinks: tuple[float, ...]) -> float:
    """Return E[f(u) f(v)], u and v from N(0, q) with the correlation c in [0, 1]."""
    if c >= _IDENTICAL:
        return float(gaussian_expectation(lambda z: function(z) ** 2, q, kinks))
    deviation = math.sqrt(q)
    x, weights = gaussian_rule(np.array(deviation), np.array(kinks))
    u = deviation * x
    rest = np.full(u.shape, deviation * math.sqrt(1 - c**2))
    turns = np.array(sorted({*kinks, *_TURNS}))
    y, inner = gaussian_rule(rest, turns - c * u[:, None])
    given_u = np.sum(function(c * u[:, None] + rest[:, None] * y) * inner, axis=1)
    return float(np.sum(function(u) * given_u * weights))


def c_map(activation: Activation, c: float, q: float, sigma_w_sq: float, sigma_b_sq: float = 0.0) -> float:
    """Return two images' correlation one layer on, at the fixed point q (Poole et al. 2016, eq. 5)."""
    return (sigma_w_sq * pair_expectation(activation.function, q, c, activation.kinks) + sigma_b_sq) / q


def c_fixed_point(activation: Activation, q: float, sigma_w_sq: float, sigma_b_sq: float = 0.0) -> float:
    """Return the correlation that two images tend to: 1 in the ordered phase, less in the chaotic one."""
    if chi_1(activation, q, sigma_w_sq) <= 1 + _CRITICAL:
        return 1.0

    def excess(c: float) -> float:
        return c_map(activation, c, q, sigma_w_sq, sigma_b_sq) - c

    if excess(0.0) <= 0:
        return 0.0
    # The map is convex, below the identity just under c = 1, and above it at 0.
    nearly = 1 - _CRITICAL
    return float(brentq(excess, 0.0, nearly)) if excess(nearly) < 0 else 1.0


def _scale(factor: float) -> float:
    """Return the number of layers in which what is multiplied by `factor` per layer changes by e; inf at 1, 0 at 0."""
    if factor <= 0:
        return 0.0
    return math.inf if abs(factor - 1) < _CRITICAL else abs(1 / math.log(factor))


@dataclass(frozen=True)
class DepthScales:
    """Layers over which a deviation from the fixed point, or the squared gradient, changes by e (Schoenholz et al.)."""

    q_star: float
    """The fixed point of the variance; NaN scales where it is 0 or infinite."""
    c_star: float
    """The fixed point of the correlation of two images."""
    chi_1: float
    """The factor of the squared gradient, per layer towards the input, at the fixed point."""
    of_q: float
    """Of the variance."""
    of_c: float
    """Of the correlation: signals reach about six of these deep (Schoenholz et al. 2017, section 5)."""
    of_gradient: float
    """Of the squared gradient, 1 / |ln chi_1|."""


def depth_scales(activation: Activation, sigma_w_sq: float, sigma_b_sq: float = 0.0) -> DepthScales:
    """Return the depth scales at the fixed point that a variance of 1 tends to.

    Args:
        sigma_w_sq: fan_in * var(w).
        sigma_b_sq: variance of the biases.
    """
    q = fixed_point(activation, sigma_w_sq, sigma_b_sq)
    if not 0 < q < math.inf:
        factor = chi_1(activation, min(q, 1e12), sigma_w_sq)
        return DepthScales(q, math.nan, factor, math.nan, math.nan, _scale(factor))
    factor = chi_1(activation, q, sigma_w_sq)

    def of_square(z: Array) -> Array:
        # dE[phi^2]/dq without a second derivative, which kinks do not have.
        return activation.function(z) ** 2 * (z**2 / q - 1) / (2 * q)

    of_q = sigma_w_sq * float(gaussian_expectation(of_square, q, activation.kinks))
    c = c_fixed_point(activation, q, sigma_w_sq, sigma_b_sq)
    of_c = sigma_w_sq * pair_expectation(activation.derivative, q, c, activation.kinks)
    return DepthScales(q, c, factor, _scale(of_q), _scale(of_c), _scale(factor))
