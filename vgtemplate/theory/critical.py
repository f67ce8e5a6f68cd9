"""Where a network is critical: fixed points of the variance, and the scales of the weights that keep the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from vgtemplate.theory.callables import Phi, find_activation
from vgtemplate.theory.gaussian import Array
from vgtemplate.theory.layers import Layer
from vgtemplate.theory.meanfield import chi_1, derivative_mean_square, mean_square, q_map
from vgtemplate.theory.numpy_activations import Activation
from vgtemplate.theory.profiles import predict_layers

SMALLEST_Q = 1e-12
"""A variance below it counts as 0."""
LARGEST_Q = 1e12
"""A variance above it counts as infinite."""
_WIDTH = 64
"""Any: the gain does not depend on it."""
_SMALL_Q = 1e-3
"""At the scale that keeps the gradient at q = 0 a signal of this variance shrinks, or q = 0 does not attract."""
ROUNDING = 1e-12
"""Relative difference up to which a variance counts as unchanged; the quadrature's error is below it."""


def fixed_point(activation: Activation, sigma_w_sq: float, sigma_b_sq: float = 0.0, q: float = 1.0) -> float:
    """Return the variance that the q map tends to when it is iterated from `q`; inf where it grows without bound.

    The map increases with q, so its iterates go up or down to the nearest fixed point in that direction.

    Args:
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
    (He et al. 2015). At GELU's and SiLU's, 4, q = 0 repels: any signal grows, and the gradient explodes; nothing is
    critical there. Otherwise q is varied, with the sigma_w_sq that makes it a fixed point, until chi_1 = 1; the fixed
    point attracts where sigma_w_sq increases with q.

    Returns:
        sigma_w_sq; NaN where no finite attracting fixed point is critical (ReLU with biases).
    """
    if sigma_b_sq == 0 and mean_square(activation, 0.0) < SMALLEST_Q:
        at_zero = 1 / float(derivative_mean_square(activation, 0.0))
        if q_map(activation, _SMALL_Q, at_zero) <= _SMALL_Q * (1 + ROUNDING):
            return at_zero

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


def critical_gain(activation: Phi, depth: int | None = None) -> float:
    """Return the g of weights N(0, g^2 / fan_in) without biases that neither lets the gradient vanish nor explode.

    Args:
        activation: a name of the catalogue, or any elementwise function, e.g. torch.tanh.
        depth: number of hidden layers over which the gradient is to be kept, from images of mean square 1; None: any
            number of them (chi_1 = 1).

    Returns:
        g; NaN where none does it. Over any depth GELU and SiLU have none; over a given one they have.

    Raises:
        UserError: there is no activation of that name, or the function is none of arrays or tensors.
    """
    found = find_activation(activation)
    if depth is None:
        return math.sqrt(critical_sigma_w_sq(found))
    return balancing_factor(found, [Layer(_WIDTH, _WIDTH, 1 / math.sqrt(_WIDTH))] * depth)


def balancing_factor(activation: Activation, layers: Sequence[Layer], inputs: Array | None = None) -> float:
    """Return by what all weights are to be multiplied for the first layer's gradient to equal the last hidden one's.

    As the depth grows this tends to the critical scale, at which chi_1 = 1. One typical image stands for all.

    Returns:
        The factor; NaN if none between 1/100 and 100 does it.
    """
    typical = None if inputs is None else inputs.mean(axis=0, keepdims=True)

    def change(log_factor: float) -> float:
        scaled = [replace(layer, weight_std=layer.weight_std * math.exp(log_factor)) for layer in layers]
        found = predict_layers(activation, scaled, typical).total_change
        return found if math.isfinite(found) else math.copysign(1e3, log_factor)

    widest = math.log(100.0)
    if not change(-widest) < 0 < change(widest):
        return math.nan
    return math.exp(brentq(change, -widest, widest, xtol=1e-4))
