import json
import math

import pytest

from vgtemplate.text import describe_seeds, flatten, plain_number, read_number, write_number, write_spread, write_value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (math.inf, "∞"), (-math.inf, "-∞"), (math.nan, "no value"), (1e6, "1e+06")],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert write_number(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0], "2"),
        ([3.0, 1.0, 2.5], "2.5 [1, 3]"),
        ([math.inf, math.nan, -math.inf, 2.0], "2 [-∞, ∞], 1 without a value"),
        ([0.0, math.nan], "0, 1 without a value"),
        ([math.nan, math.nan], "no value"),
    ],
)
def test_what_has_no_value_has_no_place_in_a_range(values: list[float], text: str) -> None:
    assert write_spread(values) == text


@pytest.mark.parametrize(
    ("seeds", "text"), [([3], "seed 3"), ([0, 1, 2], "seeds 0 to 2"), ([5, 6], "seeds 5 to 6"), ([0, 2], "seeds 0, 2")]
)
def test_seeds_in_words(seeds: list[int], text: str) -> None:
    assert describe_seeds(seeds) == text


@pytest.mark.parametrize("value", [0.1, -2.0, math.inf, -math.inf, math.nan])
def test_every_number_comes_back_from_json(value: float) -> None:
    text = json.dumps(plain_number(value), allow_nan=False)
    assert read_number(json.loads(text)) == pytest.approx(value, nan_ok=True, rel=0)


def test_settings_are_flattened_and_written() -> None:
    assert flatten({"model": {"depth": 2, "norm": {}}, "seeds": [1]}) == {"model.depth": 2, "seeds": [1]}
    assert [write_value(value) for value in (True, 0.1, [1, 2.0], None, "x")] == ["yes", "0.1", "1, 2", "none", "x"]
