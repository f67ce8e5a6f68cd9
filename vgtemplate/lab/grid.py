"""What a search tries: every combination of its grid, and a wider grid where the pick lies on one of its ends."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

Values = dict[str, float]
"""Values by dotted setting, e.g. {"optimiser.lr": 0.1}."""
Grid = dict[str, list[float]]
"""Candidates by dotted setting."""

UNBOUNDED = ("optimiser.lr", "optimiser.weight_decay", "optimiser.l1", "pretraining.lr")
"""Rates and strengths: these have no largest and no smallest value, so their grids are widened."""
FACTOR = 3
"""From an end of the grid to the next candidate (docs/register.md, amendment 5)."""
MOST_ADDED = 6
"""Most candidates that are added beyond one end."""


def candidates_of(grid: Mapping[str, Sequence[float]]) -> list[Values]:
    """Return every combination, the last setting varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def grid_of(candidates: Sequence[Values]) -> Grid:
    """Return the grid that candidates are the combinations of, each setting's values in their order."""
    return {setting: [*dict.fromkeys(values[setting] for values in candidates)] for setting in candidates[0]}


def settings_on_an_end(grid: Mapping[str, Sequence[float]], picked: Values) -> list[str]:
    """Return the settings whose pick is the smallest or the largest of its candidates."""
    return [setting for setting, values in grid.items() if picked[setting] in (min(values), max(values))]


def _beyond(end: float, upwards: bool, number: int) -> list[float]:
    """Return the next candidates beyond an end, rounded to six digits, the nearest first."""
    found = []
    for _ in range(number):
        end = float(f"{end * FACTOR if upwards else end / FACTOR:.6g}")
        found.append(end)
    return found


def widened(grid: Mapping[str, Sequence[float]], picked: Values) -> Grid:
    """Return the grid with one more candidate beyond each end that was picked, of the settings that have no bounds."""
    wider = {setting: [*values] for setting, values in grid.items()}
    for setting in set(settings_on_an_end(grid, picked)) & set(UNBOUNDED):
        values = wider[setting]
        below = _beyond(min(values), False, 1) if picked[setting] == min(values) else []
        above = _beyond(max(values), True, 1) if picked[setting] == max(values) else []
        wider[setting] = [*below, *sorted(values), *above]
    return wider


def added_at_most(asked: Mapping[str, Sequence[float]], grid: Mapping[str, Sequence[float]]) -> int:
    """Return how many candidates were added beyond the end of the grid that has most of them."""
    lengths = [0]
    for setting, values in grid.items():
        lengths.append(sum(value < min(asked[setting]) for value in values))
        lengths.append(sum(value > max(asked[setting]) for value in values))
    return max(lengths)


def is_widened_from(asked: Mapping[str, Sequence[float]], grid: Mapping[str, Sequence[float]]) -> bool:
    """Say whether a grid is the one asked for, or comes of it by widening."""
    if list(asked) != list(grid):
        return False
    for setting, values in grid.items():
        wanted = list(asked[setting])
        if setting in UNBOUNDED and len(values) > len(wanted):
            below = sum(value < min(wanted) for value in values)
            above = len(values) - len(wanted) - below
            wanted = [
                *reversed(_beyond(min(wanted), False, below)),
                *sorted(wanted),
                *_beyond(max(wanted), True, max(0, above)),
            ]
        if list(values) != wanted:
            return False
    return True
