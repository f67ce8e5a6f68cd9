"""How claims are counted: those that were judged, and those that were not with the reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vgtemplate.lab.counts import OUTCOMES, count_judged, count_outcomes, why_not_judged


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([], "of 0 claims that were judged none"),
        (["confirmed"], "of 1 claim that was judged 1 confirmed"),
        (["open", "refuted", "confirmed", "open"], "of 4 claims that were judged 1 confirmed, 1 refuted, 2 open"),
        (["not run", "confirmed", "failed"], "of 1 claim that was judged 1 confirmed; 1 failed, 1 not run"),
    ],
)
def test_claims_are_counted_among_those_that_were_judged(outcomes: list[str], words: str) -> None:
    assert count_outcomes(outcomes) == words


def test_every_verdict_is_a_judgement_and_nothing_else_is() -> None:
    assert [outcome for outcome in OUTCOMES if not count_judged([outcome])] == ["failed", "not run"]


def test_claims_without_a_verdict_share_a_reason() -> None:
    def result(name: str, failure: str | None, verdict: object = None) -> Any:
        return SimpleNamespace(claim=SimpleNamespace(id=name), verdict=verdict, failure=failure, outcome="not run")

    results = [result("a-b", "run `vgt a-b`"), result("c", "run `vgt c`"), result("d", None), result("e", None, "yes")]
    assert why_not_judged(results) == {"run `vgt CLAIM`": ["a-b", "c"], "not run": ["d"]}
