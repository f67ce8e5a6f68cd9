"""From several arms' records to a part's effects: the metric of each arm, joined by the part's combination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from vgtemplate.lab.catalogue import COMBINATIONS
from vgtemplate.lab.claim import PartConfig
from vgtemplate.metrics.registry import Array, named
from vgtemplate.records import Record

FUNCTIONS: dict[str, Callable[[Sequence[Array]], Array]] = {}
"""By name: the arms' values, each (R,), to one, (R,); NaN in, NaN out."""
combination = COMBINATIONS.decorator(FUNCTIONS)


@combination("the one arm's value", arms=1)
def only(values: Sequence[Array]) -> Array:
    """Return the one arm's value."""
    return values[0]


@combination("the largest over the arms", arms=2)
def largest(values: Sequence[Array]) -> Array:
    """Return the largest over the arms."""
    return np.asarray(np.max(values, axis=0))


@combination("the smallest over the arms", arms=2)
def smallest(values: Sequence[Array]) -> Array:
    """Return the smallest over the arms."""
    return np.asarray(np.min(values, axis=0))


@combination("first arm minus second", arms=2)
def difference(values: Sequence[Array]) -> Array:
    """Return first arm minus second."""
    return values[0] - values[1]


@combination("first arm over second", arms=2)
def ratio(values: Sequence[Array]) -> Array:
    """Return first arm over second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values[0] / values[1])


@combination("first arm minus the largest of the others", arms=2)
def margin_above(values: Sequence[Array]) -> Array:
    """Return first arm minus the largest of the others."""
    return np.asarray(values[0] - np.max(values[1:], axis=0))


@combination("smallest of the others minus the first arm", arms=2)
def margin_below(values: Sequence[Array]) -> Array:
    """Return smallest of the others minus the first arm."""
    return np.asarray(np.min(values[1:], axis=0) - values[0])


@combination("the largest over the arms minus the smallest", arms=2)
def spread(values: Sequence[Array]) -> Array:
    """Return the largest over the arms minus the smallest."""
    return np.asarray(np.max(values, axis=0) - np.min(values, axis=0))


@combination("spread of the first half of the arms minus that of the second", arms=4)
def spread_difference(values: Sequence[Array]) -> Array:
    """Return spread of the first half of the arms minus that of the second."""
    return spread(values[: len(values) // 2]) - spread(values[len(values) // 2 :])


@combination("what the first arm gains over the third, over what the second does", arms=3)
def share_of_gain(values: Sequence[Array]) -> Array:
    """Return (first - third) / (second - third)."""
    return ratio([values[0] - values[2], values[1] - values[2]])


@combination("the smallest rise from one arm to the next", arms=2)
def smallest_growth(values: Sequence[Array]) -> Array:
    """Return the smallest rise from one arm to the next."""
    return np.asarray(np.min([b - a for a, b in pairwise(values)], axis=0))


def compute_effects(part: PartConfig, records: Mapping[str, Record]) -> Array:
    """Return a part's effects, one per seed, (R,), in the order of the records' seeds."""
    values = [named(part.metric)(records[arm], **part.options) for arm in part.arms]
    with np.errstate(invalid="ignore"):
        return FUNCTIONS[part.combine](values)
