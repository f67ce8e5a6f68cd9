"""`vgt predict` of a claim's arms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLAIMS = Path(__file__).parents[3] / "experiments" / "claims"
Call = Callable[..., Any]


def test_arms_of_a_claim_can_be_predicted(call_vgt: Call) -> None:
    ended = call_vgt("predict", "--arm", f"{CLAIMS / 'sigmoid-vanishes.yaml'}:sigmoid", "--json")
    assert ended.succeeded, ended
    assert json.loads(ended.out)["gradient_slope"] == pytest.approx(-0.627, abs=1e-3)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("sigmoid-vanishes.yaml:sigmiod", "did you mean 'sigmoid'?"),
        ("derivative-bounds.yaml:a", "has no arms: there is no network to predict"),
    ],
)
def test_arm_that_a_claim_does_not_have_is_one_line(call_vgt: Call, arm: str, message: str) -> None:
    ended = call_vgt("predict", "--arm", str(CLAIMS / arm))
    assert ended.refused, ended
    assert message in ended.err
