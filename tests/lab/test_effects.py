"""Combinations of arms against numbers by hand, and what they do with numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vgtemplate.lab.claim import PartConfig
from vgtemplate.lab.effects import FUNCTIONS, compute_effects
from vgtemplate.records import Record

Array = npt.NDArray[np.float64]


def make(**series: Any) -> Record:
    """A record of three seeds with these series."""
    return Record("k", "a", {}, (0, 1, 2), {}, {}, 0.0, series)


VALUES = [np.array([1.0, 2.0, -1.0]), np.array([3.0, 1.0, -2.0]), np.array([2.0, 8.0, 4.0])]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("only", VALUES[:1], [1, 2, -1]),
        ("largest", VALUES, [3, 8, 4]),
        ("smallest", VALUES, [1, 1, -2]),
        ("difference", VALUES[:2], [-2, 1, 1]),
        ("ratio", VALUES[:2], [1 / 3, 2, 0.5]),
        ("margin_above", VALUES, [-2, -6, -5]),
        ("margin_below", VALUES, [1, -1, -1]),
        ("spread", VALUES, [2, 7, 6]),
        ("spread_difference", [*VALUES[:2], VALUES[0], VALUES[2]], [1, -5, -4]),
        ("smallest_growth", VALUES, [-1, -1, -1]),
        ("smallest_growth", [VALUES[0], VALUES[2]], [1, 6, 5]),
        ("share_of_gain", VALUES, [-1, 6 / 7, 5 / 6]),
        ("margin_above", VALUES[:2], [-2, 1, 1]),
        ("margin_below", VALUES[:2], [2, -1, -1]),
    ],
)
def test_combination(name: str, values: list[Array], expected: list[float]) -> None:
    np.testing.assert_allclose(FUNCTIONS[name](values), expected)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("position", [0, 1])
def test_nan_in_any_arm_is_nan(name: str, position: int) -> None:
    values = [np.ones(2), np.ones(2)][: 1 if name == "only" else 2]
    values[min(position, len(values) - 1)][1] = np.nan
    values += {"spread_difference": [np.ones(2), np.ones(2)], "share_of_gain": [np.zeros(2)]}.get(name, [])
    combined = FUNCTIONS[name](values)
    assert combined[0] == (1 if name in ("only", "largest", "smallest", "ratio", "share_of_gain") else 0)
    assert np.isnan(combined[1])


def test_effects_are_in_the_order_of_the_arms_and_of_the_seeds() -> None:
    records = {
        "a": make(signal_mean=np.array([0.5, 0.6, 0.7])[:, None, None] * np.ones((1, 1, 3))),
        "b": make(signal_mean=np.array([0.1, 0.1, 0.2])[:, None, None] * np.ones((1, 1, 3))),
    }
    part = {"metric": "largest_abs_mean", "combine": "difference", "threshold": "> 0", "options": {"from_layer": 2}}
    forward = PartConfig.model_validate(part | {"arms": ["a", "b"]})
    backward = PartConfig.model_validate(part | {"arms": ["b", "a"]})
    np.testing.assert_allclose(compute_effects(forward, records), [0.4, 0.5, 0.5])
    np.testing.assert_allclose(compute_effects(backward, records), [-0.4, -0.5, -0.5])


def test_two_infinite_losses_have_no_difference() -> None:
    diverged = make(diverged_at=np.array([0, -1, 0]), train_loss=np.ones((3, 20)))
    converged = make(diverged_at=np.array([-1, -1, -1]), train_loss=np.ones((3, 20)))
    part = {"metric": "final_loss", "arms": ["a", "b"], "threshold": "> 0"}
    for combine, expected in (("difference", [np.nan, 0, np.nan]), ("ratio", [np.nan, 1, np.nan])):
        chosen = PartConfig.model_validate(part | {"combine": combine})
        np.testing.assert_array_equal(compute_effects(chosen, {"a": diverged, "b": diverged}), expected)
    chosen = PartConfig.model_validate(part | {"combine": "difference"})
    np.testing.assert_array_equal(compute_effects(chosen, {"a": diverged, "b": converged}), [np.inf, 0, np.inf])
