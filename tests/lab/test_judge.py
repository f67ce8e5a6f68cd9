"""The register's rule as properties: what confirms, what refutes, and what must make no difference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.judge import (
    CONFIRMED,
    INCONCLUSIVE,
    MIXED,
    REFUTED,
    PartVerdict,
    join_parts,
    judge_effects,
    judge_quantities,
    judge_records,
)
from vgtemplate.lab.threshold import clears
from vgtemplate.records import Record

FINITE = st.floats(allow_nan=False, allow_infinity=False)
EFFECTS = st.lists(st.floats(-10, 10), min_size=1, max_size=12)
BOUND = st.floats(-5, 5)


@st.composite
def thresholds(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return f"{draw(st.sampled_from(['<', '<=', '>', '>=']))} {draw(BOUND)!r}"
    low, high = sorted((draw(BOUND), draw(BOUND)))
    return f"between {low!r} and {high!r}"


@given(
    st.permutations([0.5] * 6 + [1.5] * 6),
    st.integers(1, 12),
    st.sampled_from([("< 1", 0.5), ("<= 0.5", 0.5), ("> 1", 1.5), (">= 1.5", 1.5), ("between 0.5 and 1", 0.5)]),
)
def test_all_clear_confirms_none_refutes_and_some_is_inconclusive(
    values: list[float], count: int, threshold: tuple[str, float]
) -> None:
    text, clear = threshold
    effects = values[:count]
    part = judge_effects(effects, text)
    assert (part.cleared, part.effects) == (effects.count(clear), tuple(effects))
    expected = {0: REFUTED, count: CONFIRMED}.get(effects.count(clear), INCONCLUSIVE)
    assert part.verdict == expected


@given(EFFECTS, thresholds(), st.randoms())
def test_order_of_the_seeds_makes_no_difference(effects: list[float], threshold: str, random: Any) -> None:
    shuffled = list(effects)
    random.shuffle(shuffled)
    assert judge_effects(shuffled, threshold).verdict == judge_effects(effects, threshold).verdict


@given(thresholds(), EFFECTS)
def test_number_that_is_none_never_clears(threshold: str, effects: list[float]) -> None:
    assert not clears(threshold, math.nan)
    assert judge_effects([math.nan], threshold).verdict == REFUTED
    assert judge_effects([*effects, math.nan], threshold).verdict != CONFIRMED


@pytest.mark.parametrize(
    ("effect", "threshold", "expected"),
    [
        (math.inf, "> 1", True),
        (math.inf, "<= 1e300", False),
        (math.inf, "between 0 and 1", False),
        (-math.inf, "< 0", True),
        (-math.inf, ">= -1e300", False),
    ],
)
def test_infinite_effect_counts_as_what_it_is(effect: float, threshold: str, expected: bool) -> None:
    assert clears(threshold, effect) == expected


@given(FINITE, FINITE)
def test_bounds_are_as_strict_as_they_say(effect: float, bound: float) -> None:
    assert clears(f"< {bound!r}", effect) == (effect < bound)
    assert clears(f"<= {bound!r}", effect) == (effect <= bound)
    assert clears(f"> {bound!r}", effect) == (effect > bound)
    assert clears(f">= {bound!r}", effect) == (effect >= bound)
    low, high = sorted((effect, bound))
    assert clears(f"between {low!r} and {high!r}", low)
    assert clears(f"between {low!r} and {high!r}", high)
    assert not clears(f"between {low!r} and {high!r}", math.nextafter(low, -math.inf))
    assert not clears(f"between {low!r} and {high!r}", math.nextafter(high, math.inf))


@given(FINITE, BOUND)
def test_opposite_thresholds_never_agree(effect: float, bound: float) -> None:
    assert clears(f"< {bound!r}", effect) != clears(f">= {bound!r}", effect)
    assert clears(f"> {bound!r}", effect) != clears(f"<= {bound!r}", effect)


def test_nothing_to_judge_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to judge"):
        judge_effects([], "< 1")


def part(verdict: str) -> PartVerdict:
    return PartVerdict("", "< 1", (0.0,), 1, verdict)


@pytest.mark.parametrize(
    ("verdicts", "joined"),
    [
        ([CONFIRMED], CONFIRMED),
        ([REFUTED], REFUTED),
        ([INCONCLUSIVE], INCONCLUSIVE),
        ([CONFIRMED] * 3, CONFIRMED),
        ([REFUTED] * 3, REFUTED),
        ([INCONCLUSIVE] * 3, MIXED),
        ([CONFIRMED, CONFIRMED, REFUTED], MIXED),
        ([REFUTED, INCONCLUSIVE], MIXED),
        ([INCONCLUSIVE, CONFIRMED], MIXED),
    ],
)
def test_parts_are_joined_as_the_register_says(verdicts: list[str], joined: str) -> None:
    assert join_parts([part(verdict) for verdict in verdicts]) == joined


def record(values: list[float], seeds: tuple[int, ...] | None = None) -> Record:
    accuracy = np.array(values)
    return Record(
        key="k",
        name="a",
        configuration={},
        seeds=tuple(range(len(values))) if seeds is None else seeds,
        dataset={},
        environment={},
        wall_seconds=0.0,
        series={"test_accuracy": accuracy, "diverged_at": np.full(len(values), -1)},
    )


def claim(*parts: dict[str, Any], **changes: Any) -> ClaimConfig:
    content: dict[str, Any] = {
        "id": "it",
        "articles": ["bn-relu"],
        "statement": "a beats b",
        "kind": "training",
        "arms": {"a": {}, "b": {}},
        "parts": [{"metric": "test_accuracy", "arms": ["a"], "threshold": "> 0.8"} | part for part in parts],
        "literature": "true",
    }
    return ClaimConfig.model_validate(content | changes)


BOTH = ({}, {"arms": ["a", "b"], "combine": "difference", "threshold": "> 0", "label": "lead"})


def test_claim_is_judged_from_its_arms_records() -> None:
    a, b = record([0.9, 0.95, 0.7]), record([0.8, 0.99, 0.6])
    verdict = judge_records(claim(*BOTH), {"a": a, "b": b})
    assert (verdict.claim, verdict.verdict, verdict.provisional) == ("it", MIXED, True)
    first, second = verdict.parts
    assert (first.verdict, first.cleared, first.effects) == (INCONCLUSIVE, 2, (0.9, 0.95, 0.7))
    assert (second.title, second.threshold, second.cleared) == ("lead", "> 0", 2)
    assert second.effects == pytest.approx((0.1, -0.04, 0.1))
    assert judge_records(claim(*BOTH), {"a": record([0.9]), "b": record([0.1])}).verdict == CONFIRMED
    assert judge_records(claim(*BOTH), {"a": record([0.1]), "b": record([0.9])}).verdict == REFUTED


@pytest.mark.parametrize(("num_seeds", "provisional"), [(1, True), (9, True), (10, False), (11, False)])
def test_fewer_than_ten_seeds_are_provisional(num_seeds: int, provisional: bool) -> None:
    records = {name: record([0.9] * num_seeds) for name in ("a", "b")}
    verdict = judge_records(claim({}), records)
    assert (verdict.provisional, verdict.verdict) == (provisional, CONFIRMED)


def test_diverged_run_is_judged_as_chance_and_never_dropped() -> None:
    values = record([0.9, 0.95])
    diverged = Record("k", "a", {}, (0, 1), {}, {}, 0.0, dict(values.series) | {"diverged_at": np.array([-1, 3])})
    (judged,) = judge_records(claim({}), {"a": diverged, "b": values}).parts
    assert (judged.effects, judged.verdict) == ((0.9, 0.1), INCONCLUSIVE)


@settings(max_examples=50)
@given(st.text(min_size=1), st.text(), st.dictionaries(st.just("lead"), FINITE))
def test_literature_notes_and_published_values_never_change_a_verdict(
    literature: str, notes: str, published: dict[str, float]
) -> None:
    records = {"a": record([0.9, 0.7]), "b": record([0.8, 0.9])}
    plain = judge_records(claim(*BOTH), records)
    changed = claim(*BOTH, literature=literature, notes=notes, published=published)
    assert judge_records(changed, records) == plain


@pytest.mark.parametrize("seeds", [(0, 2), (1, 0), (0, 1, 2)])
def test_records_of_different_seeds_are_refused(seeds: tuple[int, ...]) -> None:
    records = {"a": record([0.9, 0.9]), "b": record([0.9] * len(seeds), seeds)}
    with pytest.raises(ValueError, match=r"it: the arms were run with different seeds: \[\("):
        judge_records(claim(*BOTH), records)


def test_no_records_are_refused() -> None:
    with pytest.raises(ValueError, match="different seeds"):
        judge_records(claim(*BOTH), {})


def exact(*parts: tuple[str, str]) -> ClaimConfig:
    return claim(
        kind="exact",
        check="chain_rule_product",
        arms={},
        parts=[{"metric": metric, "threshold": threshold} for metric, threshold in parts],
    )


def test_exact_claim_is_judged_from_its_quantities_and_is_never_provisional() -> None:
    both = exact(("error_at_depth_50", "< 1e-10"), ("error_at_depth_4", "< 1e-10"))
    verdict = judge_quantities(both, {"error_at_depth_4": [1e-16], "error_at_depth_50": [1e-9], "other": [0.0]})
    assert [(part.title, part.effects, part.verdict) for part in verdict.parts] == [
        ("error_at_depth_50", (1e-9,), REFUTED),
        ("error_at_depth_4", (1e-16,), CONFIRMED),
    ]
    assert (verdict.verdict, verdict.provisional) == (MIXED, False)
    alone = exact(("error_at_depth_4", "< 1e-10"))
    assert judge_quantities(alone, {"error_at_depth_4": [0.0]}).verdict == CONFIRMED
    for never in (math.nan, math.inf):
        assert judge_quantities(alone, {"error_at_depth_4": [never]}).verdict == REFUTED
    with pytest.raises(KeyError):
        judge_quantities(alone, {"other": [0.0]})


def test_blocks_of_a_quantity_are_judged_as_seeds_are() -> None:
    alone = exact(("error_at_depth_4", "< 1"))
    for values, expected in (([0.5] * 10, CONFIRMED), ([0.5] * 9 + [2.0], INCONCLUSIVE), ([2.0] * 10, REFUTED)):
        assert judge_quantities(alone, {"error_at_depth_4": values}).verdict == expected
