"""Checks of the derivatives of sigmoid, tanh and ReLU: their bounds, and how they vanish far from 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from vgtemplate.lab.checks.grid import evaluate, grid, largest_error, named
from vgtemplate.lab.checks.registry import check
from vgtemplate.records import Array


def _largest_rise(values: Array) -> float:
    """Return how much `values` on a symmetric grid rise, at most, from one point to the next farther from 0."""
    middle = len(values) // 2
    outward = np.stack([values[middle:], values[middle::-1]])
    return float(np.diff(outward, axis=1).max())


# The closed forms of the derivatives that do not cancel: sigmoid' = sech^2(z/2) / 4, tanh' = sech^2(z).
_BELL: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "sigmoid": lambda z: 0.25 / np.cosh(z / 2) ** 2,
        "tanh": lambda z: 1 / np.cosh(z) ** 2,
    }
)


@check(
    "autograd on a grid of [-40, 40] against sech^2",
    quantities=(
        "sigmoid_excess sigmoid_error_at_zero sigmoid_farthest_maximum sigmoid_smallest "
        "sigmoid_largest_rise sigmoid_tail sigmoid_closed_form_error tanh_excess tanh_error_at_zero "
        "tanh_farthest_maximum tanh_smallest tanh_largest_rise tanh_tail tanh_closed_form_error "
        "relu_error"
    ),
)
def derivative_bounds() -> dict[str, float]:
    """Measure bounds, maximum, tails and shape of sigmoid', tanh' and ReLU' on a float64 grid."""
    z = grid()
    quantities: dict[str, float] = {}
    # Beyond these, 1 - sigmoid and 1 - tanh^2 fall below float64's resolution and the derivative rounds to 0.
    for name, bound, resolved in (("sigmoid", 0.25, 30.0), ("tanh", 1.0, 15.0)):
        _, slope = evaluate(named(name), z)
        quantities |= {
            f"{name}_excess": float(slope.max() - bound),
            f"{name}_error_at_zero": float(abs(slope[z == 0.0][0] - bound)),
            f"{name}_farthest_maximum": float(np.abs(z[slope == slope.max()]).max()),
            f"{name}_smallest": float(slope[np.abs(z) <= resolved].min()),
            f"{name}_largest_rise": _largest_rise(slope),
            f"{name}_tail": float(slope[[0, -1]].max()),
            f"{name}_closed_form_error": largest_error(slope, _BELL[name](z)),
        }
    around_zero = np.concatenate([z, [-1e-300, -0.0, 1e-300]])
    _, slope = evaluate(named("relu"), around_zero)
    quantities["relu_error"] = largest_error(slope, (around_zero > 0).astype(np.float64))
    return quantities


@check(
    "phi'(z) / max phi' by autograd on the same grid",
    quantities=(
        "sigmoid_at_3 sigmoid_at_5 sigmoid_at_10 sigmoid_beyond_7 sigmoid_largest_rise tanh_at_3 "
        "tanh_at_5 tanh_at_10 tanh_beyond_4 tanh_largest_rise closed_form_error"
    ),
)
def saturation_kills_gradient() -> dict[str, float]:
    """Measure phi'(z) / max phi' of sigmoid and tanh, farther and farther from 0, on both sides."""
    z = grid()
    quantities: dict[str, float] = {}
    errors = []
    for name, beyond in (("sigmoid", 7), ("tanh", 4)):
        _, slope = evaluate(named(name), z)
        passed = slope / slope.max()
        errors.append(largest_error(passed, _BELL[name](z) / _BELL[name](np.zeros(1))))
        quantities |= {f"{name}_at_{point}": float(passed[np.abs(z) == point].max()) for point in (3, 5, 10)}
        quantities[f"{name}_beyond_{beyond}"] = float(passed[np.abs(z) >= beyond].max())
        quantities[f"{name}_largest_rise"] = _largest_rise(passed)
    return {**quantities, "closed_form_error": max(errors)}
