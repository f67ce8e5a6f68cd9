"""What comes out of a search: from its trials' records the pick of each arm, or the wider grid that has to be tried."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vgtemplate.config.errors import UserError
from vgtemplate.lab.grid import (
    MOST_ADDED,
    UNBOUNDED,
    Grid,
    Values,
    added_at_most,
    candidates_of,
    settings_on_an_end,
    widened,
)
from vgtemplate.lab.picks import Candidate, Pick
from vgtemplate.lab.search import Search
from vgtemplate.lab.threshold import clears
from vgtemplate.metrics.registry import named
from vgtemplate.records import Record

Records = Sequence[Mapping[str, Record]]
"""Of each candidate, by arm."""


def _median(values: Sequence[float]) -> float:
    """Return the median; a NaN counts as the worst."""
    return statistics.median(math.inf if math.isnan(value) else value for value in values)


def smallest(values: Sequence[Sequence[float]]) -> int:
    """Return which candidate has the smallest median, from each one's values over the seeds; the first of equals."""
    medians = [_median(seeds) for seeds in values]
    return medians.index(min(medians))


def first_that_clears(threshold: str, values: Sequence[Sequence[float]], diverged: Sequence[bool]) -> int | None:
    """Return the first candidate whose median clears and at which nothing diverged.

    If there is none: of those at which nothing diverged, the one whose median comes closest; None without any.

    Args:
        threshold: one-sided.
        values: each candidate's values over the seeds.
        diverged: whether a network of any arm diverged at the candidate.
    """
    stable = {index: float(np.median(values[index])) for index, it_has in enumerate(diverged) if not it_has}
    clearing = (index for index, median in stable.items() if clears(threshold, median))
    sign = 1 if threshold.startswith("<") else -1
    far = {index: math.inf if math.isnan(median) else sign * median for index, median in stable.items()}
    return next(clearing, min(far, key=lambda index: far[index], default=None))


def _values(metric: str, arm: str, records: Records) -> list[list[float]]:
    return [named(metric)(by_arm[arm]).tolist() for by_arm in records]


def _compare(search: Search, records: Records) -> tuple[str, list[list[float]]]:
    """Return by which metric the candidates are compared, and its values."""
    metric = search.config.metric
    values = _values(metric, search.arm, records)
    if metric == "steps_to_loss" and all(math.isinf(_median(seeds)) for seeds in values):
        metric = "validation_loss"
        values = _values(metric, search.arm, records)
    return metric, values


def _choose(search: Search, records: Records, values: Sequence[Sequence[float]]) -> int:
    first = search.config.first
    if first is None:
        return smallest(values)
    diverged = [any(named("diverged")(record).any() for record in by_arm.values()) for by_arm in records]
    chosen = first_that_clears(first, values, diverged)
    if chosen is None:
        arms = ", ".join(search.trials[0])
        raise UserError(f"{search.claim}: search of {arms}: at each of {search.grid} a network diverges")
    return chosen


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _score(settings: Values, values: Sequence[float]) -> Candidate:
    """Return a candidate's median and range over the seeds; a NaN counts as the worst."""
    known = [math.inf if math.isnan(value) else value for value in values]
    median, lowest, highest = (_number(value) for value in (statistics.median(known), min(known), max(known)))
    return Candidate(settings=settings, median=median, lowest=lowest, highest=highest)


@dataclass(frozen=True)
class Wider:
    """The grid that is to be tried, since the pick is on an end of the one that was."""

    grid: Grid


def conclude(search: Search, records: Records) -> dict[str, Pick] | Wider:
    """Return the pick of every arm that the search is for; or the wider grid, where it is on an end.

    Raises:
        UserError: it is on an end of a grid that has been widened often enough, or something diverges at every
            candidate.
    """
    settings = candidates_of(search.grid)
    metric, values = _compare(search, records)
    picked = settings[_choose(search, records, values)]
    if search.config.first is None and set(settings_on_an_end(search.grid, picked)) & set(UNBOUNDED):
        return _widen(search, picked)
    pick = Pick(
        date=datetime.date.today().isoformat(),
        seeds=list(search.trials[0][search.arm].seeds),
        metric=metric,
        trial=search.arm,
        picked=picked,
        candidates=[_score(*pair) for pair in zip(settings, values, strict=True)],
    )
    if search.config.trial is None:
        return {search.arm: pick}
    return {arm: _times(pick, search.config.factors.get(arm, 1.0)) for arm in search.config.arms}


def _widen(search: Search, picked: Values) -> Wider:
    grid = widened(search.grid, picked)
    if added_at_most(search.config.grid, grid) > MOST_ADDED:
        where = ", ".join(f"{name} {picked[name]:g}" for name in settings_on_an_end(search.grid, picked))
        raise UserError(
            f"{search.claim}: search of arm {search.arm!r}: {where} is still on an end of what was tried, "
            f"{MOST_ADDED} candidates beyond the grid's; give another grid"
        )
    return Wider(grid)


def _times(pick: Pick, factor: float) -> Pick:
    scaled = {name: float(f"{value * factor:.6g}") for name, value in pick.picked.items()}
    return pick.model_copy(update={"picked": scaled, "factor": factor})
