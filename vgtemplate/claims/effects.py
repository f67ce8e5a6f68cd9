"""From several arms' records to a part's effects: the metric of each arm, joined by the part's combination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from vgtemplate.claims.metrics import METRICS, Array
from vgtemplate.config.experiment import PartConfig
from vgtemplate.records import Record


def _difference(values: Sequence[Array]) -> Array:
    return values[0] - values[1]


def _ratio(values: Sequence[Array]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values[0] / values[1])


def _spread(values: Sequence[Array]) -> Array:
    return np.asarray(np.max(values, axis=0) - np.min(values, axis=0))


COMBINATIONS: dict[str, Callable[[Sequence[Array]], Array]] = {
    "only": lambda values: values[0],
    "largest": lambda values: np.asarray(np.max(values, axis=0)),
    "smallest": lambda values: np.asarray(np.min(values, axis=0)),
    "difference": _difference,
    "ratio": _ratio,
    "margin_above": lambda values: np.asarray(values[0] - np.max(values[1:], axis=0)),
    "spread": _spread,
    "spread_difference": lambda values: _spread(values[: len(values) // 2]) - _spread(values[len(values) // 2 :]),
    "smallest_growth": lambda values: np.asarray(np.min([b - a for a, b in pairwise(values)], axis=0)),
    "margin_below": lambda values: np.asarray(np.min(values[1:], axis=0) - values[0]),
}
"""How the arms' values, each (R,), become one; NaN in, NaN out."""


def compute_effects(part: PartConfig, records: Mapping[str, Record]) -> Array:
    """Return a part's effects, one a seed, (R,), in the order of the records' seeds."""
    values = [METRICS[part.metric](records[arm], **part.options) for arm in part.arms]
    with np.errstate(invalid="ignore"):
        return COMBINATIONS[part.combine](values)
