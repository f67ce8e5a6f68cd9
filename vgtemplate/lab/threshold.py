"""Thresholds as the register writes them, "< 1" or "between 1 and 2": read once, then an interval of numbers."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_ONE_SIDED = re.compile(rf"\s*(<=|>=|<|>)\s*{_NUMBER}\s*")
_BETWEEN = re.compile(rf"\s*between\s+{_NUMBER}\s+and\s+{_NUMBER}\s*")
_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Interval:
    """The effects that clear a threshold: from `low` to `high`, each end included or not; an open side is infinite."""

    low: float
    high: float
    low_clears: Callable[[float, float], bool] = operator.ge
    high_clears: Callable[[float, float], bool] = operator.le

    def holds(self, effect: float) -> bool:
        """Say whether an effect clears; NaN never does, infinities count as what they are."""
        return self.low_clears(effect, self.low) and self.high_clears(effect, self.high)

    @property
    def bounds(self) -> list[float]:
        """The finite ends."""
        return [end for end in (self.low, self.high) if math.isfinite(end)]


@cache
def read_threshold(text: str) -> Interval:
    """Read "< 1", "<= 1", "> 1", ">= 2e-3" or "between 1 and 2" (bounds included).

    Raises:
        ValueError: it cannot be read, or its bounds are infinite or in the wrong order.
    """
    between, one_sided = _BETWEEN.fullmatch(text), _ONE_SIDED.fullmatch(text)
    bounds = [float(number) for number in between.groups()] if between else [float(one_sided[2])] if one_sided else []
    if not bounds or not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
        raise ValueError(f"cannot read threshold {text!r}; allowed: '< 1', '<= 1', '> 1', '>= 1', 'between 1 and 2'")
    if one_sided is None:
        return Interval(bounds[0], bounds[1])
    sign, clears = one_sided[1], _OPERATORS[one_sided[1]]
    if sign.startswith("<"):
        return Interval(-math.inf, bounds[0], high_clears=clears)
    return Interval(bounds[0], math.inf, low_clears=clears)


def clears(threshold: str, effect: float) -> bool:
    """Say whether an effect clears a threshold; raises ValueError where the threshold cannot be read."""
    return read_threshold(threshold).holds(effect)
