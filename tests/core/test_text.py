"""Numbers, seeds and settings, as people and JSON files see them."""

from __future__ import annotations

import ast
import json
import math
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.imports import PACKAGE
from vgtemplate.text import (
    describe_seconds,
    describe_seeds,
    flatten,
    plain_number,
    read_number,
    write_count,
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


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "claim", "0 claims"), (1, "claim", "1 claim"), (12_000, "network", "12,000 networks")],
)
def test_one_of_something_is_no_plural(number: float, noun: str, text: str) -> None:
    assert write_count(number, noun) == text


NEVER_ONE = {
    ("cli/commands/new.py", "len(files) files"),
    ("data/own.py", "len(names) classes"),
    ("data/sources.py", "len(images.classes) classes"),
    ("doctor/prove/proof.py", "len(as_is) copies"),
    ("lab/gather.py", "len(machines) machines"),
    ("training/own_module.py", "len(seeds) runs"),
    ("training/split.py", "len(seeds) networks"),
    ("tracking/words.py", "len(text) characters"),
}
"""Numbers that are never 1 where they are said."""


def test_how_many_there_are_is_said_by_one_function() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for value, after in pairwise(parts):
                if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                    plural = re.match(r" [a-z]+s\b", str(after.value))
                    number = ast.unparse(value.value)
                    if plural and number.startswith("len("):
                        found.add((path.relative_to(PACKAGE).as_posix(), number + plural[0]))
    assert found == NEVER_ONE
