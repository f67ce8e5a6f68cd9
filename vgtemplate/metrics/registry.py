"""What a metric is written with, and where it is found by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vgtemplate.config.catalogue import METRICS
from vgtemplate.config.errors import UserError
from vgtemplate.config.own import find, is_own, their_errors
from vgtemplate.records import Record

Array = npt.NDArray[np.float64]
Metric = Callable[..., Array]

FUNCTIONS: dict[str, Metric] = {}
"""By name: a record, and the options of the metric's row, to one number per seed, (R,)."""
metric = METRICS.decorator(FUNCTIONS)


def named(name: str) -> Metric:
    """Return the metric of a name: of the catalogue, or `module:name` of one's own, a record to one number per seed.

    Raises:
        UserError: one's own cannot be found; or, when it is computed, it fails or gives something else.
    """
    if not is_own(name):
        return FUNCTIONS[name]
    function, what = find("metric", name), f"metric {name}"

    def compute(record: Record) -> Array:
        with their_errors(what):
            values = np.asarray(function(record), dtype=np.float64)
        if values.shape != (len(record.seeds),):
            raise UserError(f"{what}: gives {values.shape}; it must give one number per seed, ({len(record.seeds)},)")
        return values

    return compute


def log10(values: Array) -> Array:
    """Return log10 without a warning: -inf of zero, NaN of what is negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def fit_line(y: Array) -> tuple[Array, Array]:
    """Fit y[r] = a + b * index by least squares: (R, L) -> slopes b (R,), R^2 (R,); NaN where y is not finite."""
    if y.shape[1] < 2:
        return np.full(len(y), np.nan), np.full(len(y), np.nan)
    x = np.arange(y.shape[1], dtype=np.float64)
    x -= x.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = y - y.mean(axis=1, keepdims=True)
        slope = centred @ x / (x @ x)
        residual = centred - slope[:, None] * x
        r2 = 1 - (residual**2).sum(axis=1) / (centred**2).sum(axis=1)
    return slope, r2
