"""Numbers, seeds and settings, as people and JSON files see them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgtemplate.text import (
    describe_seconds,
    describe_seeds,
    flatten,
    plain_number,
    read_number,
    write_number,
    write_spread,
    write_value,
)

NAN, INF = math.nan, math.inf


@given(st.floats())
@example(NAN)
@example(INF)
@example(-INF)
@example(-0.0)
def test_any_number_comes_back_from_json(number: float) -> None:
    text = json.dumps(plain_number(number), allow_nan=False)
    found = read_number(json.loads(text))
    assert (
        math.isnan(found)
        if math.isnan(number)
        else (found, math.copysign(1, found))
        == (
            number,
            math.copysign(1, number),
        )
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.123456, "0.123"), (1234.5, "1.23e+03"), (-0.0005, "-0.0005"), (NAN, "no value"), (INF, "∞"), (-INF, "-∞")],
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert write_number(number) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0], "2"),
        ([3.0, 1.0, 2.0], "2 [1, 3]"),
        ([1.0, 2.0], "1.5 [1, 2]"),
        ([1.0, INF, 2.0], "2 [1, ∞]"),
        ([1.0, NAN, 2.0], "1.5 [1, 2], 1 without a value"),
        ([NAN, NAN], "no value"),
        ([], "no value"),
    ],
)
def test_spread_is_the_median_and_both_ends(values: list[float], text: str) -> None:
    assert write_spread(values) == text


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ((), "no seeds"),
        ((3,), "seed 3"),
        ((0, 1, 2), "seeds 0 to 2"),
        ((1000, 1001), "seeds 1000 to 1001"),
        ((0, 2), "seeds 0, 2"),
        ((2, 1, 0), "seeds 2, 1, 0"),
    ],
)
def test_seeds_are_written_briefly(seeds: tuple[int, ...], text: str) -> None:
    assert describe_seeds(seeds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (600, "10 min")])
def test_time_is_written_roughly(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (False, "no"), (None, "none"), (0.1, "0.1"), (3, "3"), ("relu", "relu"), ([64, 0.5], "64, 0.5")],
)
def test_settings_are_written_as_people_read_them(value: object, text: str) -> None:
    assert write_value(value) == text


def test_settings_have_dotted_names() -> None:
    nested = {"model": {"depth": 2, "width": [64, 128]}, "training": {"epochs": None}}
    assert flatten(nested) == {"model.depth": 2, "model.width": [64, 128], "training.epochs": None}
    assert flatten({}) == {}
