"""The grids of searches: their combinations, their ends, and what comes of widening them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.lab.grid import (
    added_at_most,
    candidates_of,
    grid_of,
    is_widened_from,
    settings_on_an_end,
    widened,
)

TWO = {"optimiser.lr": [0.1, 0.3, 1.0], "model.dropout": [0.1, 0.5]}


def test_every_combination_is_a_candidate_the_last_setting_varying_fastest() -> None:
    grid = {"optimiser.lr": [0.1, 0.3], "model.dropout": [0.0, 0.5]}
    assert candidates_of(grid) == [
        {"optimiser.lr": 0.1, "model.dropout": 0.0},
        {"optimiser.lr": 0.1, "model.dropout": 0.5},
        {"optimiser.lr": 0.3, "model.dropout": 0.0},
        {"optimiser.lr": 0.3, "model.dropout": 0.5},
    ]
    assert grid_of(candidates_of(grid)) == grid


@pytest.mark.parametrize(
    ("lr", "dropout", "expected"),
    [
        (0.3, 0.1, ["model.dropout"]),
        (0.1, 0.5, ["optimiser.lr", "model.dropout"]),
        (1.0, 0.1, ["optimiser.lr", "model.dropout"]),
    ],
)
def test_either_end_is_an_end(lr: float, dropout: float, expected: list[str]) -> None:
    assert settings_on_an_end(TWO, {"optimiser.lr": lr, "model.dropout": dropout}) == expected


@pytest.mark.parametrize(
    ("lr", "expected"),
    [(0.1, [0.0333333, 0.1, 0.3, 1.0]), (0.3, [0.1, 0.3, 1.0]), (1.0, [0.1, 0.3, 1.0, 3.0])],
)
def test_only_the_setting_on_its_end_is_widened_and_nothing_that_has_bounds(lr: float, expected: list[float]) -> None:
    wider = widened(TWO, {"optimiser.lr": lr, "model.dropout": 0.5})
    assert wider == {"optimiser.lr": expected, "model.dropout": [0.1, 0.5]}


def test_grid_of_one_candidate_is_widened_on_both_sides() -> None:
    assert widened({"pretraining.lr": [0.3]}, {"pretraining.lr": 0.3}) == {"pretraining.lr": [0.1, 0.3, 0.9]}


@given(st.lists(st.booleans(), max_size=6), st.sampled_from([[0.003, 0.01, 0.1], [0.1, 0.01], [1e-5, 1e-3]]))
def test_what_widening_makes_is_known_to_come_of_it_and_counted(sides: list[bool], asked: list[float]) -> None:
    grid = {"optimiser.l1": asked}
    for upwards in sides:
        values = grid["optimiser.l1"]
        grid = widened(grid, {"optimiser.l1": max(values) if upwards else min(values)})
    values = grid["optimiser.l1"]
    assert is_widened_from({"optimiser.l1": asked}, grid)
    assert added_at_most({"optimiser.l1": asked}, grid) == max(sides.count(True), sides.count(False))
    assert max(values) == pytest.approx(max(asked) * 3 ** sides.count(True), rel=1e-4)
    assert min(values) == pytest.approx(min(asked) / 3 ** sides.count(False), rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "tried"),
    [
        ([0.1, 0.3, 1.0], [0.1, 0.3]),
        ([0.1, 0.3], [0.1, 0.3, 1.0]),  # no three times 0.3
        ([0.1, 0.3], [0.1, 0.2, 0.3]),
        ([0.1, 0.3], [0.3, 0.1]),
        ([0.1, 0.2, 0.3], [0.1, 0.3, 0.9]),
    ],
)
def test_another_grid_does_not_come_of_widening(asked: list[float], tried: list[float]) -> None:
    assert not is_widened_from({"optimiser.lr": asked}, {"optimiser.lr": tried})


def test_bounded_settings_and_other_settings_are_no_wider_grid() -> None:
    assert not is_widened_from({"model.dropout": [0.1, 0.2]}, {"model.dropout": [0.1, 0.2, 0.6]})
    assert not is_widened_from({"optimiser.lr": [0.1]}, {"optimiser.l1": [0.1]})
