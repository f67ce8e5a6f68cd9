"""Thresholds as the register writes them: which effects clear them, and what cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vgtemplate.lab.claim import PartConfig
from vgtemplate.lab.threshold import clears


@pytest.mark.parametrize(
    ("threshold", "yes", "no"),
    [
        ("< 1", [0.999, -5], [1, 1.001]),
        ("<= 1", [1, 0.5], [1.0000001]),
        ("> -0.03", [0, -0.0299], [-0.03, -1]),
        (">= -3e-2", [-0.03, 0], [-0.0300001]),
        ("between 1.5 and 2.5", [1.5, 2, 2.5], [1.4999, 2.5001]),
        ("between -1 and 1", [-1, 0, 1], [-1.1, 1.1]),
        ("between 2 and 2", [2], [1.9, 2.1]),
        ("  <  .5 ", [0.4], [0.5]),
        ("> +1e+2", [101], [100]),
    ],
)
def test_threshold_is_cleared_on_the_right_side_of_its_bound(threshold: str, yes: list[float], no: list[float]) -> None:
    assert [clears(threshold, effect) for effect in yes] == [True] * len(yes)
    assert [clears(threshold, effect) for effect in no] == [False] * len(no)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
@given(bound=st.floats(allow_nan=False, allow_infinity=False), effect=st.floats(allow_nan=False, allow_infinity=False))
def test_one_sided_threshold_is_pythons_comparison(sign: str, bound: float, effect: float) -> None:
    assert clears(f"{sign} {bound!r}", effect) is eval(f"({effect!r}) {sign} ({bound!r})")
    assert clears(f"{sign} {bound!r}", bound) is ("=" in sign)


@pytest.mark.parametrize(
    "threshold",
    [
        *("", "1", "== 1", "< ", "< one", "<1<2", "> 1 and < 2", "between 1", "between 1, 2", "=< 1", "< inf", "< 0x1"),
        *("< 1_0", "between 2 and 1", "< 1e999", "> -1e999", "between 0 and 1e999"),
    ],
)
def test_threshold_that_means_nothing_is_refused(threshold: str) -> None:
    with pytest.raises(ValueError, match="threshold"):
        clears(threshold, 0.0)
    with pytest.raises(ValidationError, match="threshold"):
        PartConfig(metric="gradient_slope", arms=["a"], threshold=threshold)
