"""Expectations over a centred Gaussian, by quadrature that is split where the function has a kink.

One rule for every activation: Gauss-Legendre on panels whose edges are the kinks and the powers of PANEL_RATIO.
Gauss-Hermite, the usual choice, loses digits at a kink (201 nodes give E[SELU'^2] = 1.17 at q = 1, where 1.0716 is
exact) and at large q, where tanh turns much faster than the Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]

NUM_NODES = 24
"""Nodes a panel: 144 in all at q = 1, 288 at q = 1e4; relative error below 1e-10 from q = 1e-6 to 1e6 (tested)."""
CUTOFF = 10.0
"""Standard deviations kept on either side; the mass beyond is 1.5e-23."""
PANEL_RATIO = 4.0
"""How much wider each panel is than its neighbour towards 0."""
SMALLEST_EDGE = 2.0
"""No panel edges closer to 0 than a quarter of this: an activation turns over a distance of about 1."""


@cache
def _nodes_and_weights() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(NUM_NODES)


def _edges(deviation: float, kinks: Sequence[float]) -> Array:
    outermost = CUTOFF * deviation
    edges = [outermost]
    while edges[-1] > SMALLEST_EDGE:
        edges.append(edges[-1] / PANEL_RATIO)
    inside = [kink for kink in kinks if abs(kink) < outermost]
    return np.unique(np.array([*edges, *(-edge for edge in edges), *inside]))


def gaussian_expectation(function: Function, q: float, kinks: Sequence[float] = (0.0,)) -> float:
    """Return E[f(sqrt(q) x)] for x ~ N(0, 1).

    Args:
        function: f, from an array to an array of the same shape; smooth between its kinks, and varying over
            distances of about 1 or more.
        q: variance of the argument, at least 0; 0 stands for the limit q -> 0+, which differs from f(0) where f
            jumps at 0.
        kinks: where f or one of its derivatives jumps.

    Returns:
        The expectation; NaN where q is not finite.

    Raises:
        ValueError: q is negative.
    """
    if q < 0:
        raise ValueError(f"q is a variance, it cannot be {q}")
    if not np.isfinite(q):
        return float("nan")
    deviation = np.sqrt(max(q, np.finfo(np.float64).tiny))
    edges = _edges(deviation, kinks)
    nodes, weights = _nodes_and_weights()
    half_widths = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + edges[1:, None]) / 2 + half_widths * nodes
    density = np.exp(-((z / deviation) ** 2) / 2) * (half_widths / deviation) * weights / np.sqrt(2 * np.pi)
    with np.errstate(over="ignore"):
        return float(np.sum(function(z) * density))
