"""What the theory has to know of an activation or initialiser that it has no formula for, from its torch function."""

from __future__ import annotations

import math

import numpy as np
import torch

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.activations import build_activation
from vgtemplate.nn.initialisers import FUNCTIONS, Fans
from vgtemplate.theory.gaussian import Array
from vgtemplate.theory.numpy_activations import Activation

_REACH, _STEP = 20.0, 1 / 64
_JUMP = 0.02
"""A derivative that changes by less within 2^-50 of a step does not jump."""
_HALVINGS = 50
_DRAWS = 1_000_000
"""Weights over which a deviation is measured: to 0.07 %."""


def as_theory_has_it(name: str) -> Activation:
    """Return an activation as a NumPy function with its derivative by autograd, and the points where that jumps.

    Learned parameters are as they start, and random ones as in evaluation.
    """
    module = build_activation(name, [0], 0).double().eval().requires_grad_(False)

    def function(z: Array) -> Array:
        return np.asarray(module(torch.from_numpy(np.ascontiguousarray(z))[None])[0].numpy())

    def derivative(z: Array) -> Array:
        points = torch.from_numpy(np.ascontiguousarray(z)).requires_grad_()
        (slope,) = torch.autograd.grad(module(points[None]).sum(), points)
        return np.asarray(slope.numpy())

    grid = np.arange(-_REACH, _REACH + _STEP, _STEP)
    slopes = derivative(grid)
    suspects = np.flatnonzero(np.abs(np.diff(slopes)) > _JUMP)
    found = (_find_jump(derivative, grid[index], grid[index + 1]) for index in suspects)
    kinks = {round(place, 9) for place in found if place is not None}
    return Activation(function, derivative, tuple(sorted({0.0, *kinks})))


def _find_jump(derivative: object, low: float, high: float) -> float | None:
    """Return where between two points a derivative jumps; None if it merely changes fast."""
    assert callable(derivative)
    for _ in range(_HALVINGS):
        left, middle, right = derivative(np.array([low, (low + high) / 2, high]))
        low, high = (low, (low + high) / 2) if abs(middle - left) >= abs(right - middle) else ((low + high) / 2, high)
    left, right = derivative(np.array([low, high]))
    return (low + high) / 2 if abs(right - left) > _JUMP else None


def measure_weight_std(name: str, fan_in: int, fan_out: int, width: int) -> float:
    """Return the deviation of an initialiser's weights for a layer of `width` units or channels, from draws of them."""
    generator = torch.Generator().manual_seed(derive(0, Stream.CHECKS))
    fans, shape = Fans(fan_in, fan_out), (fan_in, width)
    num_draws = math.ceil(_DRAWS / (fan_in * width))
    squares = [FUNCTIONS[name](shape, fans, generator).double().square().mean() for _ in range(num_draws)]
    return math.sqrt(float(torch.stack(squares).mean()))
