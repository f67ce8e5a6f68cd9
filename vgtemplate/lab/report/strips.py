"""One row of dots: a part's effects against its threshold, as positions that a template draws. Never a verdict.

A seed is a dot, in the order of the seeds from top to bottom; the side of the threshold that is allowed is shaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vgtemplate.lab.threshold import read_threshold
from vgtemplate.text import write_number

_LOGARITHMIC = 100.0
"""Where largest effect and threshold differ by more than this ratio, the axis of positive values is logarithmic."""
_MARGIN = 0.08


@dataclass(frozen=True)
class Dot:
    """An effect: its place along the strip in percent, and what is said when it is pointed at."""

    x: float
    text: str
    clears: bool
    beyond: bool
    """The effect is infinite: the dot stands at the strip's end."""


@dataclass(frozen=True)
class Strip:
    """What is drawn: dots, the allowed stretch and the threshold's bounds, all in percent of the width."""

    dots: tuple[Dot, ...]
    allowed: tuple[float, float]
    lines: tuple[float, ...]
    logarithmic: bool
    without_value: int
    """Effects that are not a number, which have no place."""


def draw_strip(effects: Sequence[float], threshold: str, seeds: Sequence[int]) -> Strip:
    """Place the effects of a part, one per seed, and its threshold on one axis.

    Infinities stand at the ends, NaN is counted. The seeds name the dots, which are numbered where there are fewer.
    """
    allowed = read_threshold(threshold)
    lines = allowed.bounds
    finite = [value for value in [*effects, *lines] if math.isfinite(value)]
    largest = max((effect for effect in effects if math.isfinite(effect)), default=lines[-1])
    apart = max(largest, lines[-1]) > _LOGARITHMIC * min(largest, lines[-1])
    logarithmic = min(finite) > 0 and apart

    def along(value: float) -> float:
        return math.log10(value) if logarithmic else value

    low, high = along(min(finite)), along(max(finite))
    spare = _MARGIN * (high - low) or abs(high) or 1.0
    low, high = low - spare, high + spare

    def place(value: float) -> float:
        if math.isinf(value) or (logarithmic and value <= 0):
            return 100.0 if value > 0 else 0.0
        return round(100 * (along(value) - low) / (high - low), 2)

    names = [f"seed {seed}" for seed in seeds] if len(seeds) == len(effects) else []
    dots = tuple(
        Dot(
            place(effect),
            f"{names[index] if names else index + 1}: {write_number(effect)}",
            allowed.holds(effect),
            math.isinf(effect),
        )
        for index, effect in enumerate(effects)
        if not math.isnan(effect)
    )
    missing = len(effects) - len(dots)
    return Strip(dots, (place(allowed.low), place(allowed.high)), tuple(map(place, lines)), logarithmic, missing)
