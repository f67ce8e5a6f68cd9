"""Any function as the theory takes it: of NumPy arrays, or of tensors, whose library is loaded already."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import UserError
from vgtemplate.theory.gaussian import Array, Function
from vgtemplate.theory.numpy_activations import FORMULAS, Activation

Phi = str | Activation | Callable[[Any], Any]
"""What stands for an activation: its name in the catalogue, its formulas, or any elementwise function."""

_STEP = 1e-5
"""Of a difference of second order: its error is of the order of the step's square."""
_GRID = np.arange(-20, 20 + 1 / 64, 1 / 64)
"""Between two neighbours at most one jump is found."""
_JUMP = 0.02
"""A smaller change of the derivative is no jump."""


def find_activation(activation: Phi) -> Activation:
    """Return an activation by its name, as it is, or made of a function.

    Raises:
        UserError: there is none of that name, or the function is none that the theory can take.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        return FORMULAS[check_name("activation", activation, FORMULAS)]
    return as_activation(activation)


@lru_cache(maxsize=64)
def as_activation(function: Callable[[Any], Any]) -> Activation:
    """Return an elementwise function as an activation: its derivative, and its kinks, where that jumps.

    Args:
        function: of NumPy arrays, or of torch's tensors (a function or a module).

    Raises:
        UserError: it is none of the two, or does not go element by element.
    """
    points, reason = np.linspace(-2.0, 2.0, 7), ""
    # The theory imports no framework: whoever hands over a function of tensors has loaded theirs.
    for make in (_of_tensors, _of_arrays) if "torch" in sys.modules else (_of_arrays,):
        try:
            found = make(function)
            values = found.function(points)
            if np.shape(values) == points.shape and np.isfinite(values).all():
                return found
            reason = "it does not give a number for each number"
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    name = getattr(function, "__name__", type(function).__name__)
    raise UserError(f"activation {name}: is no function of arrays or tensors, element by element ({reason})")


def _of_arrays(function: Callable[[Any], Any]) -> Activation:
    def phi(z: Array) -> Array:
        return np.asarray(function(np.asarray(z, dtype=np.float64)), dtype=np.float64)

    def derivative(z: Array) -> Array:
        # Away from 0, where the kink mostly is: a step to either side of it would mix both slopes.
        step = np.where(z < 0, -_STEP, _STEP)
        return np.asarray((4 * phi(z + step) - phi(z + 2 * step) - 3 * phi(z)) / (2 * step))

    # Nearer than its step a difference does not tell where a jump is.
    return Activation(phi, derivative, _kinks(derivative, halvings=14, digits=4))


def _of_tensors(function: Callable[[Any], Any]) -> Activation:
    torch = sys.modules["torch"]
    if isinstance(function, torch.nn.Module):
        function = copy.deepcopy(function).double().eval().requires_grad_(False)

    def phi(z: Array) -> Array:
        with torch.no_grad():
            return np.asarray(function(torch.tensor(z, dtype=torch.float64)).numpy())

    def derivative(z: Array) -> Array:
        points = torch.tensor(z, dtype=torch.float64).requires_grad_()
        # A copy, since an activation may work in place.
        (slope,) = torch.autograd.grad(function(points.clone()).sum(), points)
        return np.asarray(slope)

    return Activation(phi, derivative, _kinks(derivative, halvings=50, digits=12))


def _kinks(derivative: Function, halvings: int, digits: int) -> tuple[float, ...]:
    """Return 0 and where a derivative jumps: an interval in which it changes is halved until only a jump is left."""
    suspect = np.abs(np.diff(derivative(_GRID))) > _JUMP
    low, high = _GRID[:-1][suspect], _GRID[1:][suspect]
    for _ in range(halvings):
        middle = (low + high) / 2
        left, centre, right = (derivative(points) for points in (low, middle, high))
        is_below = np.abs(centre - left) >= np.abs(right - centre)
        low, high = np.where(is_below, low, middle), np.where(is_below, middle, high)
    found = np.abs(derivative(high) - derivative(low)) > _JUMP
    return (0.0, *sorted({float(place) for place in high[found].round(digits)} - {0.0}))
