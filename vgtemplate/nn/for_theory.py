"""What the theory asks of an activation or initialiser that it has no formula for, found from its torch function."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.activations import build_activation
from vgtemplate.nn.initialisers import FUNCTIONS, Fans, Shape

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_GRID = np.arange(-20, 20 + 1 / 64, 1 / 64)
"""Between two neighbours at most one jump is found."""
_JUMP = 0.02
"""A smaller change of the derivative is no jump."""
_HALVINGS = 50
"""From 1/64 down to what float64 can tell apart."""
_DRAWS = 1_000_000
"""Weights over which a deviation is measured: normal ones to 0.07 %, one standard error."""


def as_numpy(name: str) -> tuple[Function, Function, tuple[float, ...]]:
    """Return an activation as a NumPy function, its derivative by autograd, and the points where that jumps, and 0.

    Learned parameters are as they start, and random ones as in evaluation.
    """
    module = build_activation(name, [0], 0).double().eval().requires_grad_(False)

    def function(z: Array) -> Array:
        return np.asarray(module(torch.tensor(z, dtype=torch.float64)[None])[0])

    def derivative(z: Array) -> Array:
        points = torch.tensor(z, dtype=torch.float64).requires_grad_()
        # A copy, since an activation may work in place.
        (slope,) = torch.autograd.grad(module(points[None].clone()).sum(), points)
        return np.asarray(slope)

    return function, derivative, (0.0, *sorted(_jumps(derivative) - {0.0}))


def _jumps(derivative: Function) -> set[float]:
    """Return where a derivative jumps: each interval in which it changes much is halved until only a jump is left."""
    suspect = np.abs(np.diff(derivative(_GRID))) > _JUMP
    low, high = _GRID[:-1][suspect], _GRID[1:][suspect]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left, centre, right = (derivative(points) for points in (low, middle, high))
        is_below = np.abs(centre - left) >= np.abs(right - centre)
        low, high = np.where(is_below, low, middle), np.where(is_below, middle, high)
    found = np.abs(derivative(high) - derivative(low)) > _JUMP
    return {float(place) for place in high[found].round(12)}


@cache
def measure_weight_std(name: str, shape: Shape, fan_in: int, fan_out: int) -> float:
    """Return the deviation of an initialiser's weights of a shape, measured over draws of them."""
    generator = torch.Generator().manual_seed(derive(0, Stream.CHECKS))
    num_draws = math.ceil(_DRAWS / math.prod(shape))
    draws = (FUNCTIONS[name](shape, Fans(fan_in, fan_out), generator) for _ in range(num_draws))
    return math.sqrt(sum(float(weights.double().square().mean()) for weights in draws) / num_draws)
