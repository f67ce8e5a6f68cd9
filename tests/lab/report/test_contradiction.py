"""Who is right of two claims that contradict each other: in the claim's words, by what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.messages import validate
from vgtemplate.lab.claim import ContradictionConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.report.contradiction import Settled, settle
from vgtemplate.lab.report.panels import Bars, Profile

WORDS = {
    "refuted": {"confirmed": "the other is right.", "refuted": "neither is right."},
    "confirmed": {"confirmed": "both are right."},
}
CONTRADICTS = {"claim": "other", "metric": "gradient_slope", "other_metric": "test_accuracy", "sentences": WORDS}


@pytest.fixture
def settled(make_claim: Any, make_record: Any, make_result: Any, reader: Any) -> Callable[..., Settled]:
    """Settle two claims on some arms, given each arm's slopes and accuracies, one of either per seed."""

    def judge(depth: int = 30, **measured: tuple[list[float], list[float]]) -> Settled:
        records, bounds = {}, {"gradient_slope": "< -0.03", "test_accuracy": ">= 0.8"}
        for arm, (slopes, accuracies) in measured.items():
            gradients = 10.0 ** (np.array(slopes)[:, None, None] * np.arange(depth)[::-1])
            series = {"gradient_rms": gradients, "test_accuracy": np.array(accuracies)}
            records[arm] = make_record(arm, seeds=len(slopes), depth=depth, **series)
        parts = {
            metric: [{"metric": metric, "arms": [arm], "threshold": bound} for arm in records]
            for metric, bound in bounds.items()
        }
        here = make_claim("this", records, parts=parts["gradient_slope"], contradicts=CONTRADICTS)
        other = make_claim("other", records, parts=parts["test_accuracy"], kind="training")
        (found,) = settle([make_result(claim, records) for claim in (here, other)], reader(records.values()))
        return found

    return judge


@pytest.mark.parametrize(
    ("slope", "accuracy", "words"),
    [(0.01, 0.9, "the other is right."), (-0.1, 0.9, "both are right."), (0.01, 0.1, "neither is right.")],
)
def test_who_is_right_follows_from_what_was_measured(settled: Any, slope: float, accuracy: float, words: str) -> None:
    found = settled(sigmoid=([slope] * 3, [accuracy] * 3))
    assert found.claims == ("this", "other")
    (sentence,) = found.paragraphs
    assert sentence.startswith(f"With sigmoid, {words} Measured with sigmoid: the gradient ")
    assert f"test accuracy {accuracy}" in sentence
    assert f"{'shrinks' if slope < 0 else 'grows'} by {abs(slope):.3g} decades per layer" in sentence
    assert f"a factor of {10 ** (28 * slope):.3g} from hidden layer 30 to hidden layer 2" in sentence


def test_nobody_is_right_where_the_seeds_disagree(settled: Any) -> None:
    (sentence,) = settled(sigmoid=([-0.1, 0.1, 0.1], [0.9] * 3)).paragraphs
    assert "the seeds disagree, so that neither this nor other can be said to be right" in sentence


def test_the_picture_shows_what_either_claim_measures_beside_its_threshold(settled: Any) -> None:
    found = settled(sigmoid=([-0.1] * 3, [0.9] * 3), tanh=([0.1] * 3, [0.9] * 3))
    profile, slopes, accuracies = found.panels
    assert isinstance(profile, Profile)
    assert (slopes, accuracies) == (Bars("gradient_slope"), Bars("test_accuracy"))
    assert all(list(arms) == ["sigmoid", "tanh"] for arms in found.panels.values())
    assert [part.threshold for part in found.parts] == ["< -0.03", "< -0.03", ">= 0.8", ">= 0.8"]


def test_arms_that_came_out_alike_share_a_paragraph(settled: Any) -> None:
    same, odd = ([0.01], [0.9]), ([-0.1], [0.9])
    first, second = settled(sigmoid=same, tanh=same, relu=odd).paragraphs
    assert first.startswith("With sigmoid and with tanh, the other is right. Measured with sigmoid")
    assert "Measured with tanh" in first
    assert second.startswith("With relu, both are right.")


def test_nothing_is_settled_without_the_other_claim_or_its_verdict(
    make_claim: Any, make_record: Any, make_result: Any
) -> None:
    records = {"sigmoid": make_record("sigmoid")}
    here = make_result(make_claim("this", contradicts=CONTRADICTS), records)
    assert settle([here], lambda keys: None) == []
    other = make_result(make_claim("other"), records, verdict=None)
    assert settle([here, other], lambda keys: None) == []


def test_what_it_says_is_checked() -> None:
    with pytest.raises(UserError, match="unknown metric 'gradient_slop'; did you mean 'gradient_slope'"):
        validate(ContradictionConfig, CONTRADICTS | {"metric": "gradient_slop"}, "file")
    with pytest.raises(UserError, match="unknown verdict 'partly'; known: confirmed, refuted"):
        validate(ContradictionConfig, CONTRADICTS | {"sentences": {"partly": {}}}, "file")


def test_claims_of_the_repository_contradict_claims_that_there_are(experiments: Any) -> None:
    claims = load_claims(experiments)
    found = {claim.contradicts.claim for claim in claims.values() if claim.contradicts}
    assert found
    assert found <= set(claims)
