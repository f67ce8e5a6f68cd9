"""The phases of a wide random network: ordered, where gradients vanish, and chaotic, where they explode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vgtemplate.theory.critical import LARGEST_Q, SMALLEST_Q, critical_sigma_w_sq
from vgtemplate.theory.gaussian import Array
from vgtemplate.theory.meanfield import derivative_mean_square, mean_square
from vgtemplate.theory.numpy_activations import Activation


@dataclass(frozen=True)
class PhaseDiagram:
    """The fixed point that a variance of 1 tends to, by sigma_b_sq (rows) and sigma_w_sq (columns)."""

    sigma_w_sq: Array
    """fan_in * var(w), (A,)."""
    sigma_b_sq: Array
    """Variance of the biases, (B,)."""
    q: Array
    """The fixed point of the variance, (B, A); 0, or inf where the signal grows without bound."""
    chi_1: Array
    """The factor of the squared gradient there, (B, A)."""
    critical: Array
    """The critical sigma_w_sq at each sigma_b_sq, (B,); NaN where there is none."""


def phase_diagram(activation: Activation, sigma_w_sq: Array, sigma_b_sq: Array) -> PhaseDiagram:
    """Return the phases on a grid of the variances of weights and biases.

    The expectations depend on q alone, so they are found once, on a grid of q; a fixed point lies where the q map
    crosses the identity, the nearest from 1 in the direction in which q moves.
    """
    points_per_decade = 60
    grid = np.geomspace(SMALLEST_Q, LARGEST_Q, round(np.log10(LARGEST_Q / SMALLEST_Q)) * points_per_decade + 1)
    squares, slopes = mean_square(activation, grid), derivative_mean_square(activation, grid)
    q = np.array([[_fixed_point(grid, w * squares + b - grid) for w in sigma_w_sq] for b in sigma_b_sq])
    critical = np.array([critical_sigma_w_sq(activation, b) for b in sigma_b_sq])
    at = np.interp(np.log(np.clip(q, SMALLEST_Q, LARGEST_Q)), np.log(grid), slopes)
    return PhaseDiagram(sigma_w_sq, sigma_b_sq, q, at * sigma_w_sq, critical)


def grid_around_critical(
    activation: Activation, weights: float | None = None, biases: float = 0.5, points: int = 120
) -> tuple[Array, Array]:
    """Return sigma_w_sq and sigma_b_sq, (points,) each, for a diagram that shows both phases.

    Args:
        weights: the largest sigma_w_sq; None: three times the one that keeps the gradient of a vanishing signal.
        biases: the largest sigma_b_sq.
    """
    critical = critical_sigma_w_sq(activation)
    if not np.isfinite(critical):
        critical = 1 / float(derivative_mean_square(activation, 0.0))
    largest = weights or 3 * critical
    # Variances of biases lie closer together towards 0, where the critical line is steep.
    return np.linspace(largest / points, largest, points), biases * np.linspace(0, 1, points) ** 2


def _fixed_point(grid: Array, growth: Array) -> float:
    """Return where q ends that starts in the grid's middle, given by how much the q map adds to each q."""
    middle = len(grid) // 2
    relative = growth / grid
    if abs(relative[middle]) < SMALLEST_Q:
        return float(grid[middle])
    if relative[middle] > 0:
        beyond = np.flatnonzero(relative[middle:] <= 0)
        if not len(beyond):
            return float("inf")
        after = middle + int(beyond[0])
        before = after - 1
    else:
        below = np.flatnonzero(relative[: middle + 1] >= 0)
        if not len(below):
            return 0.0
        before = int(below[-1])
        after = before + 1
    share = relative[before] / (relative[before] - relative[after])
    return float(np.exp(np.log(grid[before]) + share * (np.log(grid[after]) - np.log(grid[before]))))
