"""One wide random layer: the map of the pre-activation's variance, and the gradient's factor.

Weights are independent with mean 0 and variance sigma_w_sq / fan_in, biases with variance sigma_b_sq. As the width
grows a layer's pre-activations become N(0, q) (Poole et al. 2016), and each layer multiplies the mean square of the
gradient by chi_1 (Schoenholz et al. 2017). Nothing here knows depths, data or slopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from vgtemplate.theory.gaussian import Array, gaussian_expectation, gaussian_expectations
from vgtemplate.theory.numpy_activations import Activation

_FEW = 64
"""Variances at once up to which their moments are remembered."""
_SLICES = 4000
_FAR = 20.0
"""From here on an activation is straight."""


def mean_square(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return E[phi(z)^2] for z ~ N(0, q): what a layer passes on."""
    return gaussian_expectation(lambda z: activation.function(z) ** 2, q, activation.kinks)


def derivative_mean_square(activation: Activation, q: npt.ArrayLike) -> Array:
    """Return E[phi'(z)^2] for z ~ N(0, q); at q = 0 the limit q -> 0+ (1/2 for ReLU)."""
    return gaussian_expectation(lambda z: activation.derivative(z) ** 2, q, activation.kinks)


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
    """Return all that is needed of an activation for z ~ N(0, q), computed together.

    Those of a few variances are remembered: networks that are compared often begin alike, and a balanced one has the
    same q in every layer.
    """
    variances = np.asarray(q, dtype=np.float64)
    if variances.size <= _FEW:
        return _remembered_moments(activation, variances.tobytes(), variances.shape)
    return _moments(activation, variances)


@lru_cache(maxsize=4096)
def _remembered_moments(activation: Activation, q: bytes, shape: tuple[int, ...]) -> Moments:
    return _moments(activation, np.frombuffer(q).reshape(shape))


def _moments(activation: Activation, q: Array) -> Moments:
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


@lru_cache(maxsize=4096)
def saturated_fraction(activation: Activation, q: float) -> float:
    """Return the probability that |phi'(z)| is below a tenth of its largest value, z ~ N(0, q); to 1e-3."""
    return float(is_saturated(activation, np.sqrt(q) * _quantiles()).mean())


def q_map(activation: Activation, q: float, sigma_w_sq: float, sigma_b_sq: float = 0.0) -> float:
    """Return the next layer's q' = sigma_w_sq E[phi(z)^2] + sigma_b_sq, z ~ N(0, q) (Poole et al. 2016, eq. 3)."""
    return sigma_w_sq * float(mean_square(activation, q)) + sigma_b_sq


def chi_1(activation: Activation, q: float, sigma_w_sq: float) -> float:
    """Return sigma_w_sq E[phi'(z)^2], z ~ N(0, q) (Schoenholz et al. 2017, eq. 5).

    The gradient's RMS changes by 0.5 log10(chi_1) decades per layer towards the input: below 1 it vanishes.
    """
    return sigma_w_sq * float(derivative_mean_square(activation, q))
