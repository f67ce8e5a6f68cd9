"""What a search picks from its trials' records: the smallest median, the first that clears, or a wider grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job
from vgtemplate.lab.choice import Wider, conclude, first_that_clears, smallest
from vgtemplate.lab.claim import SearchConfig
from vgtemplate.lab.grid import Grid, candidates_of
from vgtemplate.lab.picks import Pick
from vgtemplate.lab.search import Search
from vgtemplate.records import Record

NAN, INF = math.nan, math.inf
SEEDS = (1000, 1001, 1002)


@pytest.mark.parametrize(
    ("values", "picked"),
    [
        ([[3, 3, 3], [1, 2, 9], [2, 3, 3]], 1),
        ([[2, 2, 2], [2, 2, 2], [3, 3, 3]], 0),
        ([[NAN, NAN, 0], [5, 5, 5], [INF, INF, INF]], 1),
        ([[INF, INF, INF], [NAN, NAN, NAN], [INF, 1, INF]], 0),
    ],
)
def test_smallest_median_is_picked_and_what_diverged_is_worst(values: list[list[float]], picked: int) -> None:
    assert smallest(values) == picked


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=3, max_size=3))
def test_no_candidate_has_a_smaller_median_than_the_picked_one(values: list[list[float]]) -> None:
    medians = [sorted(seeds)[1] for seeds in values]
    assert medians[smallest(values)] == min(medians)


@pytest.mark.parametrize(
    ("values", "diverged", "picked"),
    [
        ([[0, 0.1, 0.3], [0, 0.2, 0.3], [0.9, 0.9, 0.9]], [False] * 3, 1),
        ([[0, 0.2, 0.3], [0, 0.3, 0.3], [0.9, 0.9, 0.9]], [True, False, False], 1),
        ([[0, 0.02, 0.3], [0, 0.05, 0.3], [0.9, 0.9, 0.9]], [False, False, True], 1),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [False] * 3, 0),
        ([[0, NAN, NAN], [0, 0, 0], [1, 1, 1]], [False, False, True], 1),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], [True] * 3, None),
    ],
)
def test_first_median_that_clears_where_nothing_diverges_is_picked_else_the_closest(
    values: list[list[float]], diverged: list[bool], picked: int | None
) -> None:
    assert first_that_clears("> 0.1", values, diverged) == picked
    mirrored = [[-value for value in seeds] for seeds in values]
    assert first_that_clears("< -0.1", mirrored, diverged) == picked


def record(arm: str, diverged: Sequence[bool] = (), stop_loss: float | None = None, **series: object) -> Record:
    config = ArmConfig.model_validate({"training": {"stop_loss": stop_loss}})
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in series.items()}
    arrays["diverged_at"] = np.where(np.asarray(diverged or [False] * len(SEEDS)), 3, -1)
    return Record(
        key=arm,
        name=arm,
        configuration=config.model_dump(mode="json"),
        seeds=SEEDS,
        dataset={},
        environment={},
        wall_seconds=0.0,
        series=arrays,
        labels={"layer": ["layer_1"]},
    )


def search(config: Mapping[str, object], grid: Grid, arm: str = "a") -> Search:
    settings = SearchConfig.model_validate({"arms": [arm], "grid": grid} | dict(config))
    job = Job("key", arm, "it", ArmConfig(), SEEDS)
    return Search("it", arm, settings, grid, [{arm: job} for _ in candidates_of(grid)])


def losses(*medians: float) -> list[dict[str, Record]]:
    return [{"a": record("a", validation_loss=[[m - 1], [m], [m + 1]])} for m in medians]


LR: Grid = {"optimiser.lr": [0.1, 0.3, 1.0]}


def test_pick_inside_its_candidates_keeps_each_ones_median_and_range() -> None:
    found = conclude(search({}, LR), losses(5, 2, 3))
    assert isinstance(found, dict)
    pick = found["a"]
    assert (pick.picked, pick.metric) == ({"optimiser.lr": 0.3}, "validation_loss")
    assert (pick.trial, pick.seeds) == ("a", [*SEEDS])
    assert [(each.median, each.lowest, each.highest) for each in pick.candidates] == [(5, 4, 6), (2, 1, 3), (3, 2, 4)]
    assert pick.candidate == pick.candidates[1]


@pytest.mark.parametrize(
    ("medians", "wider"), [((1, 2, 3), [0.0333333, 0.1, 0.3, 1.0]), ((3, 2, 1), [0.1, 0.3, 1.0, 3.0])]
)
def test_pick_on_an_end_asks_for_a_wider_grid(medians: tuple[float, ...], wider: list[float]) -> None:
    assert conclude(search({}, LR), losses(*medians)) == Wider({"optimiser.lr": wider})


def test_grid_is_not_widened_for_ever() -> None:
    wide = [0.1, 0.3, 1.0, *(3.0 * 3**power for power in range(6))]
    endless = dataclasses.replace(search({}, LR), grid={"optimiser.lr": wide})
    with pytest.raises(UserError, match=r"^it: search of arm 'a': optimiser.lr 729 is still on an end"):
        conclude(endless, losses(*reversed(range(len(wide)))))


def test_bounded_setting_may_stay_on_its_end() -> None:
    found = conclude(search({}, {"model.dropout": [0.1, 0.5]}), losses(1, 2))
    assert isinstance(found, dict)
    assert found["a"].picked == {"model.dropout": 0.1}


def stepping(steps: Sequence[float], loss: float) -> dict[str, Record]:
    """Losses that fall to 0 at a step, and the mean over 20 steps at that step plus 20 at the latest."""
    curves = [[9.0] * 100 if math.isinf(step) else [9.0] * int(step) + [0.0] * (100 - int(step)) for step in steps]
    return {"a": record("a", stop_loss=1.0, train_loss=curves, validation_loss=[[loss]] * 3)}


def test_steps_decide_where_a_candidate_reaches_the_loss_and_else_the_validation_loss() -> None:
    by_steps = search({"metric": "steps_to_loss"}, LR)
    found = conclude(by_steps, [stepping([40, 50, 60], 3), stepping([20, 30, INF], 9), stepping([INF] * 3, 1)])
    assert isinstance(found, dict)
    assert (found["a"].picked, found["a"].metric) == ({"optimiser.lr": 0.3}, "steps_to_loss")
    assert found["a"].candidates[2].median is None
    found = conclude(by_steps, [stepping([INF] * 3, 3), stepping([INF] * 3, 1), stepping([1, INF, INF], 2)])
    assert isinstance(found, dict)
    assert (found["a"].picked, found["a"].metric) == ({"optimiser.lr": 0.3}, "validation_loss")
    assert found["a"].candidates[1].median == 1


def dying(fraction: float, others_diverge: bool = False) -> dict[str, Record]:
    """Of two looks the last counts."""
    look = [[[0.0], [fraction]]] * 3
    others = [False, False, others_diverge]
    return {"relu": record("relu", dead_fraction=look), "elu": record("elu", others, dead_fraction=look)}


def test_first_candidate_looks_at_every_arm_and_multiples_of_the_pick_are_scaled() -> None:
    config = {
        "arms": ["relu", "elu", "tenth"],
        "trial": "relu",
        "factors": {"tenth": 0.1},
        "metric": "dead_fraction",
        "first": "> 0.1",
    }
    whole = search(config, {"optimiser.lr": [0.001, 0.003, 0.01]}, "relu")
    found = conclude(whole, [dying(0.05), dying(0.2), dying(0.3)])
    assert isinstance(found, dict)
    assert picked(found) == {"relu": 0.003, "elu": 0.003, "tenth": 0.0003}
    assert found["tenth"].candidate.median == pytest.approx(0.2)
    # A pick at the end of a grid that is asked for in this way stays, and what diverges beside it counts.
    found = conclude(whole, [dying(0.2, True), dying(0.05), dying(0.3)])
    assert isinstance(found, dict)
    assert picked(found)["relu"] == 0.01
    with pytest.raises(UserError, match=r"^it: search of relu.*diverges"):
        conclude(whole, [dying(0.2, True)] * 3)


def picked(found: Mapping[str, Pick]) -> dict[str, float]:
    return {arm: pick.picked["optimiser.lr"] for arm, pick in found.items()}
