"""The register's rule as properties: what confirms, what refutes, and what must make no difference."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.judge import (
    CLEARS,
    CONFIRMED,
    DEPENDS,
    FAILS,
    LOOKS,
    NOT_TESTED,
    OPEN,
    PARTLY,
    REFUTED,
    PartVerdict,
    Verdict,
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
    st.permutations([0.5] * 5 + [1.5] * 4),
    st.integers(1, 9),
    st.sampled_from([("< 1", 0.5), ("<= 0.5", 0.5), ("> 1", 1.5), (">= 1.5", 1.5), ("between 0.5 and 1", 0.5)]),
)
def test_below_ten_seeds_all_have_to_clear_or_none(
    values: list[float], count: int, threshold: tuple[str, float]
) -> None:
    text, clear = threshold
    effects = values[:count]
    part = judge_effects(effects, text)
    assert (part.cleared, part.effects) == (effects.count(clear), tuple(effects))
    assert part.verdict == {0: FAILS, count: CLEARS}.get(effects.count(clear), OPEN)


@given(EFFECTS, thresholds(), st.randoms())
def test_order_of_the_seeds_of_a_look_makes_no_difference(effects: list[float], threshold: str, random: Any) -> None:
    shuffled = effects[:10]
    random.shuffle(shuffled)
    assert judge_effects(shuffled, threshold).verdict == judge_effects(effects[:10], threshold).verdict


def clear_of(*counts: tuple[int, int]) -> list[float]:
    """Effects of which so many of so many clear "> 0", set after set."""
    return [float(index < clear) for clear, number in counts for index in range(number)]


@pytest.mark.parametrize(
    ("counts", "expected", "seen"),
    [
        ([(10, 10)], CLEARS, 10),
        ([(0, 10)], FAILS, 10),
        ([(9, 10)], OPEN, 10),
        ([(1, 10)], OPEN, 10),
        ([(9, 10), (5, 10)], OPEN, 20),
        ([(9, 10), (17, 20)], CLEARS, 30),
        ([(9, 10), (16, 20)], OPEN, 30),
        ([(1, 10), (3, 20)], FAILS, 30),
        ([(1, 10), (4, 20)], OPEN, 30),
        ([(10, 10), (0, 20)], CLEARS, 10),
        ([(9, 10), (16, 20), (45, 70)], CLEARS, 100),
        ([(9, 10), (16, 20), (44, 70)], DEPENDS, 100),
        ([(1, 10), (4, 20), (25, 70)], FAILS, 100),
        ([(1, 10), (4, 20), (26, 70)], DEPENDS, 100),
        ([(9, 10), (16, 20), (45, 70), (0, 900)], CLEARS, 100),
    ],
)
def test_a_part_ends_at_the_first_look_that_decides(counts: list[tuple[int, int]], expected: str, seen: int) -> None:
    effects = clear_of(*counts)
    part = judge_effects(effects, "> 0", seeds=range(len(effects)))
    assert (part.verdict, len(part.effects), part.seeds) == (expected, seen, tuple(range(seen)))
    assert part.cleared == sum(effects[:seen])


def probabilities(share: float) -> dict[str, float]:
    """The probability of each word for a part whose networks clear with probability `share`: every outcome is judged.

    A word depends on the number that clear in the first ten, the next twenty and the last seventy alone.
    """
    sizes = (10, 20, 70)
    weights = [[math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)] for n in sizes]
    found = dict.fromkeys((CLEARS, FAILS, DEPENDS), 0.0)
    for counts in itertools.product(*(range(n + 1) for n in sizes)):
        part = judge_effects(clear_of(*zip(counts, sizes, strict=True)), "> 0")
        found[part.verdict] += math.prod(weights[index][count] for index, count in enumerate(counts))
    return found


@pytest.mark.slow
def test_error_of_the_three_looks_is_the_registers_by_enumeration() -> None:
    even = probabilities(0.5)
    assert sum(even.values()) == pytest.approx(1)
    assert even[CLEARS] == pytest.approx(even[FAILS])
    assert f"{even[CLEARS]:.2e}" == "1.04e-03"
    for share in (0.8, 0.9):
        decided, mirrored = probabilities(share), probabilities(1 - share)
        assert decided[CLEARS] >= 0.994
        assert mirrored[FAILS] == pytest.approx(decided[CLEARS])
        assert decided[FAILS] < 1e-5


def test_looks_are_the_registers() -> None:
    text = (Path(__file__).parents[2] / "docs" / "register.md").read_text()
    rows = re.findall(
        r"^\| (\d+) seeds \| (?:at least )?(\d+) clear \| (?:at most )?(\d+) clear \|$", text, re.MULTILINE
    )
    assert [tuple(map(int, row)) for row in rows] == [tuple(look) for look in LOOKS]


@given(thresholds(), EFFECTS)
def test_number_that_is_none_never_clears(threshold: str, effects: list[float]) -> None:
    assert not clears(threshold, math.nan)
    assert judge_effects([math.nan], threshold).verdict == FAILS
    assert judge_effects([*effects[:9], math.nan], threshold).verdict != CLEARS


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


def part(text: str) -> PartVerdict:
    """A part by its word, with a "p" before it for a premise."""
    role = "premise" if text.startswith("p:") else "assertion"
    return PartVerdict("it", "< 1", (0.0,) * 100, 50, text.removeprefix("p:"), role, tuple(range(100)))


@pytest.mark.parametrize(
    ("verdicts", "joined"),
    [
        ([CLEARS], CONFIRMED),
        ([FAILS], REFUTED),
        ([OPEN], OPEN),
        ([DEPENDS], DEPENDS),
        ([CLEARS] * 3, CONFIRMED),
        ([FAILS] * 3, REFUTED),
        ([DEPENDS] * 3, DEPENDS),
        ([CLEARS, DEPENDS], DEPENDS),
        ([CLEARS, CLEARS, FAILS], PARTLY),
        ([CLEARS, FAILS, DEPENDS], PARTLY),
        ([CLEARS, FAILS, OPEN], PARTLY),
        ([FAILS, DEPENDS], REFUTED),
        ([FAILS, OPEN], OPEN),
        ([OPEN, CLEARS], OPEN),
        ([OPEN, DEPENDS], OPEN),
        (["p:" + CLEARS, CLEARS], CONFIRMED),
        (["p:" + CLEARS, FAILS], REFUTED),
        (["p:" + FAILS, CLEARS], NOT_TESTED),
        (["p:" + FAILS, OPEN], NOT_TESTED),
        (["p:" + DEPENDS, CLEARS], NOT_TESTED),
        (["p:" + CLEARS, "p:" + FAILS, CLEARS], NOT_TESTED),
        (["p:" + OPEN, "p:" + FAILS], NOT_TESTED),
        (["p:" + OPEN, CLEARS], OPEN),
        (["p:" + OPEN, CLEARS, FAILS], OPEN),
    ],
)
def test_parts_are_joined_as_the_register_says(verdicts: list[str], joined: str) -> None:
    parts = tuple(part(verdict) for verdict in verdicts)
    assert join_parts(parts) == joined
    assert join_parts(parts[::-1]) == joined


def test_the_verdict_says_why_where_the_word_alone_does_not() -> None:
    def why(*verdicts: str) -> str:
        parts = tuple(part(verdict) for verdict in verdicts)
        return Verdict("it", join_parts(parts), False, parts).because

    evidence = "it < 1: 50 of 100 networks, seeds 0 to 99"
    assert why("p:" + FAILS, CLEARS) == (
        f"a premise does not hold ({evidence}), so the statement was not put to the test"
    )
    assert why(CLEARS, FAILS) == f"clears: {evidence}; does not clear: {evidence}"
    assert why(DEPENDS) == f"{evidence}; 95 % interval of the share 0.40 to 0.60"
    assert why(OPEN) == f"{evidence}; more seeds decide: `vgt reproduce it --decide`"
    assert why(CLEARS) == why(FAILS) == ""


@pytest.mark.parametrize(("cleared", "number"), [(0, 10), (1, 30), (28, 30), (55, 100), (100, 100)])
def test_interval_is_that_of_clopper_and_pearson(cleared: int, number: int) -> None:
    expected = stats.binomtest(cleared, number).proportion_ci(0.95, method="exact")
    effects = clear_of((cleared, number))
    assert PartVerdict("", "> 0", tuple(effects), cleared, OPEN).interval == pytest.approx(tuple(expected))


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


BOTH: tuple[dict[str, Any], ...] = (
    {},
    {"arms": ["a", "b"], "combine": "difference", "threshold": "> 0", "label": "lead"},
)


def test_claim_is_judged_from_its_arms_records() -> None:
    a, b = record([0.9, 0.95, 0.7]), record([0.8, 0.99, 0.6])
    verdict = judge_records(claim(*BOTH), {"a": a, "b": b})
    assert (verdict.claim, verdict.verdict, verdict.provisional) == ("it", OPEN, True)
    first, second = verdict.parts
    assert (first.verdict, first.cleared, first.effects) == (OPEN, 2, (0.9, 0.95, 0.7))
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
    assert (judged.effects, judged.verdict) == ((0.9, 0.1), OPEN)


@settings(max_examples=50)
@given(st.text(min_size=1), st.text(), st.dictionaries(st.just("lead"), FINITE))
def test_literature_notes_and_published_values_never_change_a_verdict(
    literature: str, notes: str, published: dict[str, float]
) -> None:
    records = {"a": record([0.9, 0.7]), "b": record([0.8, 0.9])}
    plain = judge_records(claim(*BOTH), records)
    changed = claim(*BOTH, literature=literature, notes=notes, published=published)
    assert judge_records(changed, records) == plain


@pytest.mark.parametrize("seeds", [(0, 2), (1, 0), (1, 0, 2)])
def test_records_of_different_seeds_are_refused(seeds: tuple[int, ...]) -> None:
    records = {"a": record([0.9, 0.9]), "b": record([0.9] * len(seeds), seeds)}
    with pytest.raises(ValueError, match=r"it: the arms were run with different seeds: \[\("):
        judge_records(claim(*BOTH), records)


def test_parts_are_judged_on_the_seeds_that_all_of_their_arms_have() -> None:
    """An arm of an open part has more seeds than the part that was decided before needs."""
    a, b = record([0.9] * 9 + [0.7] + [0.9] * 20), record([0.1] * 10)
    first, second = judge_records(claim(*BOTH), {"a": a, "b": b}).parts
    assert (first.verdict, first.count, first.seeds) == (CLEARS, "29 of 30 networks", tuple(range(30)))
    assert (second.verdict, second.count, second.seeds) == (CLEARS, "10 of 10 networks", tuple(range(10)))


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
        ("error_at_depth_50", (1e-9,), FAILS),
        ("error_at_depth_4", (1e-16,), CLEARS),
    ]
    assert (verdict.verdict, verdict.provisional) == (PARTLY, False)
    alone = exact(("error_at_depth_4", "< 1e-10"))
    assert judge_quantities(alone, {"error_at_depth_4": [0.0]}).verdict == CONFIRMED
    for never in (math.nan, math.inf):
        assert judge_quantities(alone, {"error_at_depth_4": [never]}).verdict == REFUTED
    with pytest.raises(KeyError):
        judge_quantities(alone, {"other": [0.0]})


def test_blocks_of_a_quantity_are_judged_as_seeds_are() -> None:
    alone = exact(("error_at_depth_4", "< 1"))
    for values, expected in (([0.5] * 10, CONFIRMED), ([0.5] * 9 + [2.0], DEPENDS), ([2.0] * 10, REFUTED)):
        assert judge_quantities(alone, {"error_at_depth_4": values}).verdict == expected
