"""One wide random layer: the map of the pre-activation's variance, the gradient's factor, and where they balance.

Weights are independent with mean 0 and variance sigma_w_sq / fan_in, biases with variance sigma_b_sq. As the width
grows a layer's pre-activations become N(0, q) (Poole et al. 2016), and each layer multiplies the mean square of the
gradient by chi_1 (Schoenholz et al. 2017). Nothing here knows depths, data or slopes: see predict.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from vgtemplate.theory.gaussian import Array, gaussian_expectation, gaussian_expectations
from vgtemplate.theory.numpy_activations import Activation, find_activation

SMALLEST_Q = 1e-12
"""A variance below it counts as 0."""
LARGEST_Q = 1e12
"""A variance above it counts as infinite."""
_SLICES = 4000
_FAR = 20.0
"""From here on an activation is straight."""
ROUNDING = 1e-12
"""Relative difference up to which a variance counts as unchanged; the quadrature's error is below it."""


def mean_square(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return E[phi(z)^2] for z ~ N(0, q): what a layer passes on."""
    return gaussian_expectation(lambda z: activation.function(z) ** 2, q, activation.kinks)


def mean_output(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return E[phi(z)] for z ~ N(0, q)."""
    return gaussian_expectation(activation.function, q, activation.kinks)


def derivative_mean_square(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return E[phi'(z)^2] for z ~ N(0, q); at q = 0 the limit q -> 0+ (1/2 for ReLU)."""
    return gaussian_expectation(lambda z: activation.derivative(z) ** 2, q, activation.kinks)


def variance(activation: Activation, q: float) -> float:
    """Return Var[phi(z)] for z ~ N(0, q)."""
    mean = mean_output(activation, q)
    return float(gaussian_expectation(lambda z: (activation.function(z) - mean) ** 2, q, activation.kinks))


@dataclass(frozen=True)
class Moments:
    """Expectations for z ~ N(0, q), each of the shape of q."""

    mean: Array
    """E[phi(z)]."""
    mean_square: Array
    """E[phi(z)^2]."""
    slope_square: Array
    """E[phi'(z)^2]."""
    slope_fourth: Array
    """E[phi'(z)^4]."""


def moments(activation: Activation, q: npt.ArrayLike) -> Moments:
    """Return all that is needed of an activation for z ~ N(0, q), computed together."""

    def functions(z: Array) -> tuple[Array, ...]:
        phi, slope_square = activation.function(z), activation.derivative(z) ** 2
        return phi, phi**2, slope_square, slope_square**2

    return Moments(*gaussian_expectations(functions, q, activation.kinks))


@cache
def _quantiles() -> Array:
    """Return the middles of _SLICES slices of N(0, 1) of equal probability."""
    return np.asarray(ndtri((np.arange(_SLICES) + 0.5) / _SLICES))


def is_saturated(activation: Activation, z: Array) -> npt.NDArray[np.bool_]:
    """Say where |phi'(z)| is below a tenth of its largest value."""
    largest = np.abs(activation.derivative(np.linspace(-_FAR, _FAR, _SLICES))).max()
    return np.asarray(np.abs(activation.derivative(z)) < 0.1 * largest)


def saturated_fraction(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return the probability that |phi'(z)| is below a tenth of its largest value, z ~ N(0, q); to 1e-3."""
    z = np.sqrt(np.asarray(q, dtype=np.float64))[..., None] * _quantiles()
    return np.asarray(is_saturated(activation, z).mean(axis=-1))


def q_map(activation: Activation, q: float, sigma_w_sq: float, sigma_b_sq: float = 0.0) -> float:
    """Return the next layer's q' = sigma_w_sq E[phi(z)^2] + sigma_b_sq, z ~ N(0, q) (Poole et al. 2016, eq. 3)."""
    return sigma_w_sq * float(mean_square(activation, q)) + sigma_b_sq


def chi_1(activation: Activation, q: float, sigma_w_sq: float) -> float:
    """Return sigma_w_sq E[phi'(z)^2], z ~ N(0, q) (Schoenholz et al. 2017, eq. 5).

    The gradient's RMS changes by 0.5 log10(chi_1) decades a layer towards the input: below 1 it vanishes.
    """
    return sigma_w_sq * float(derivative_mean_square(activation, q))


def batchnorm_chi(activation: Activation) -> float:
    """Return E[phi'(z)^2] / Var[phi(z)], z ~ N(0, 1): chi_1 with batch normalisation before the activation.

    Normalised pre-activations are N(0, 1). The backward pass multiplies by phi', by the weights (sigma_w_sq) and by
    1 / deviation of W h over the batch, whose square is 1 / (sigma_w_sq Var[phi]): sigma_w_sq cancels. What the
    normalisation takes out of the gradient, its mean and its part along z, is 2 of B directions: nothing in a large
    batch of distinct images (Yang et al. 2019, where ReLU has pi / (pi - 1)).
    """
    return float(derivative_mean_square(activation, 1.0)) / variance(activation, 1.0)


def fixed_point(activation: Activation, sigma_w_sq: float, sigma_b_sq: float = 0.0, q: float = 1.0) -> float:
    """Return the variance that the q map tends to when it is iterated from `q`; inf where it grows without bound.

    The map increases with q, so its iterates go up or down to the nearest fixed point in that direction.

    Args:
        activation: phi.
        sigma_w_sq: fan_in * var(w).
        sigma_b_sq: variance of the biases.
        q: where the iteration starts, above 0; returned where it is itself a fixed point (ReLU at 2: any q is).
    """

    def growth(at: float) -> float:
        return q_map(activation, at, sigma_w_sq, sigma_b_sq) / at - 1

    start = growth(q)
    if abs(start) <= ROUNDING:
        return q
    near, step = q, 2.0 if start > 0 else 0.5
    while SMALLEST_Q < near < LARGEST_Q:
        far = near * step
        if growth(far) * start <= 0:
            return float(brentq(growth, near, far, xtol=SMALLEST_Q, rtol=ROUNDING))
        near = far
    return float("inf") if start > 0 else 0.0


def critical_sigma_w_sq(activation: Activation, sigma_b_sq: float = 0.0) -> float:
    """Return the sigma_w_sq at which chi_1 = 1 at a fixed point of the q map: the edge of chaos.

    Without bias, where phi(0) = 0, the fixed point is q = 0 and the answer 1 / E[phi'(0+-)^2]: 1 for tanh, 2 for ReLU
    (He et al. 2015), 4 for GELU and SiLU, whose q = 0 repels at that scale: any signal grows. Otherwise q is varied,
    with the sigma_w_sq that makes it a fixed point, until chi_1 = 1; the fixed point attracts where sigma_w_sq
    increases with q.

    Returns:
        sigma_w_sq; NaN where no finite attracting fixed point is critical (ReLU with biases).
    """
    if sigma_b_sq == 0 and mean_square(activation, 0.0) < SMALLEST_Q:
        return 1 / float(derivative_mean_square(activation, 0.0))

    def holds(q: float) -> float:
        return (q - sigma_b_sq) / float(mean_square(activation, q))

    def excess(q: float) -> float:
        return chi_1(activation, q, holds(q)) - 1

    grid = sigma_b_sq + np.geomspace(1e-6, 1e6, 121)
    at_grid = (grid - sigma_b_sq) / mean_square(activation, grid) * derivative_mean_square(activation, grid)
    for index in np.flatnonzero((at_grid[:-1] < 1) & (at_grid[1:] >= 1)):
        q = float(brentq(excess, grid[index], grid[index + 1], rtol=ROUNDING))
        if holds(q) < holds(1.001 * q):
            return holds(q)
    return float("nan")


def critical_gain(activation: str | Activation) -> float:
    """Return the g of weights N(0, g^2 / fan_in) without biases at which chi_1 = 1: sqrt(critical_sigma_w_sq).

    Args:
        activation: a name of the catalogue, or a function with its derivative.

    Raises:
        UserError: there is no activation of that name.
    """
    return math.sqrt(critical_sigma_w_sq(find_activation(activation)))
