"""The catalogue's activations as numpy functions with their derivatives; never torch, never parameters or noise.

PReLUs stand at their initial slopes, RReLU at the mean of its range (its draws would add 0.0008 decades per layer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from vgtemplate.theory.gaussian import Array, Function

LEAKY_SLOPE = 0.01
"""Maas et al. 2013."""
PRELU_START = 0.25
"""He et al. 2015, section 2.1."""
RRELU_RANGE = (1 / 8, 1 / 3)
"""Xu et al. 2015."""
SELU_SCALE = 1.0507009873554804934193349852946
"""lambda of Klambauer et al. 2017."""
SELU_ALPHA = 1.6732632423543772848170429916717
"""alpha of Klambauer et al. 2017."""


@dataclass(frozen=True)
class Activation:
    """phi and phi', both elementwise, and the points where one of them or a higher derivative jumps."""

    function: Function
    derivative: Function
    kinks: tuple[float, ...] = (0.0,)


def leaky(slope: float) -> Activation:
    """Return max(0, z) + slope * min(0, z)."""
    return Activation(lambda z: np.where(z > 0, z, slope * z), lambda z: np.where(z > 0, 1.0, slope))


def exponential(scale: float, alpha: float) -> Activation:
    """Return scale * z for z > 0, and scale * alpha * (exp(z) - 1) below (Clevert et al. 2016)."""
    return Activation(
        lambda z: scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
        lambda z: scale * np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0))),
    )


def _normal_density(z: Array) -> Array:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


FORMULAS: Mapping[str, Activation] = {
    "sigmoid": Activation(expit, lambda z: expit(z) * expit(-z)),
    "tanh": Activation(np.tanh, lambda z: (1 - np.tanh(z)) * (1 + np.tanh(z))),
    "relu": leaky(0.0),
    "leaky_relu": leaky(LEAKY_SLOPE),
    "rrelu": leaky(sum(RRELU_RANGE) / 2),
    "prelu": leaky(PRELU_START),
    "prelu_unit": leaky(0.0),
    "elu": exponential(1.0, 1.0),
    "selu": exponential(SELU_SCALE, SELU_ALPHA),
    "gelu": Activation(lambda z: z * ndtr(z), lambda z: ndtr(z) + z * _normal_density(z)),
    "silu": Activation(lambda z: z * expit(z), lambda z: expit(z) * (1 + z * expit(-z))),
    "identity": Activation(lambda z: z, np.ones_like),
}
"""By the catalogue's names."""
