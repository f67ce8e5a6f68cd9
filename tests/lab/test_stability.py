"""Which verdicts change when only seeds, threads or precision do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.jobs.job import Job
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.judge import Verdict, join_parts, judge_effects
from vgtemplate.lab.plan import plan_claims, select_claims
from vgtemplate.lab.result import Result
from vgtemplate.lab.stability import (
    CHEAP_SECONDS,
    Variant,
    add_outcomes,
    describe,
    is_stable,
    list_variants,
    plan_variant,
    read_outcomes,
    write_outcomes,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    return load_claims(EXPERIMENTS)


@given(st.integers(1, 20), st.integers(1, 300))
def test_sets_of_seeds_share_no_seed_and_the_first_is_the_usual_one(num_sets: int, num_seeds: int) -> None:
    sets = [variant.seeds for variant in list_variants(num_sets, num_seeds) if variant.is_for_all]
    assert len(sets) == num_sets
    assert sets[0] == tuple(range(num_seeds))
    seeds = [seed for each in sets for seed in each]
    assert len(set(seeds)) == len(seeds) == num_sets * num_seeds


def test_three_sets_are_those_of_the_documentation() -> None:
    labels = [variant.label for variant in list_variants(3, 10)]
    assert labels[:3] == ["seeds 0 to 9", "seeds 100 to 109", "seeds 200 to 209"]
    assert labels[3:] == ["float32", "float64", "1 thread", "2 threads"]


def test_no_set_holds_a_seed_that_settings_were_searched_on() -> None:
    assert max(max(variant.seeds) for variant in list_variants(3, 10)) < 1000


def test_precision_is_all_that_a_precision_changes(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    chosen = select_claims(claims, ["relu-keeps-gradient"])
    usual = plan_variant(Variant("seeds", (0, 1)), chosen, EXPERIMENTS, "digits", tmp_path)
    for precision in ("32-true", "64-true"):
        other = plan_variant(Variant("p", (0, 1), precision=precision), chosen, EXPERIMENTS, "digits", tmp_path)
        for arm, key in usual.keys["relu-keeps-gradient"].items():
            one, two = usual.jobs[key], other.jobs[other.keys["relu-keeps-gradient"][arm]]
            assert isinstance(one, Job)
            assert isinstance(two, Job)
            training = one.config.training.model_copy(update={"precision": precision})
            assert two.config == one.config.model_copy(update={"training": training})


def test_threads_keep_their_records_to_themselves(tmp_path: Path) -> None:
    folders = {variant.results(tmp_path) for variant in list_variants(3, 10) if variant.threads}
    assert len(folders) == 2
    assert tmp_path not in folders
    assert all(variant.results(tmp_path) == tmp_path for variant in list_variants(3, 10) if not variant.threads)


def test_only_cheap_claims_that_have_seeds_are_judged_in_every_variant(
    claims: dict[str, ClaimConfig], tmp_path: Path
) -> None:
    every = plan_variant(Variant("seeds", tuple(range(10))), claims, EXPERIMENTS, "digits", tmp_path)
    assert set(every.claims) == {name for name, claim in claims.items() if claim.kind in ("initial", "training")}
    cheap = plan_variant(Variant("2", tuple(range(10)), threads=2), claims, EXPERIMENTS, "digits", tmp_path)
    assert "relu-keeps-gradient" in cheap.claims
    assert "batchnorm-not-for-images" not in cheap.claims
    assert max(task_seconds(job) for job in cheap.jobs.values()) <= CHEAP_SECONDS
    usual = plan_claims(cheap.claims, EXPERIMENTS, "digits", range(10), tmp_path)
    assert usual.keys == cheap.keys


def result(claims: dict[str, ClaimConfig], name: str, effects: list[float] | None) -> Result:
    claim = claims[name]
    parts = tuple(judge_effects(effects, part.threshold, part.title) for part in claim.parts) if effects else ()
    verdict = Verdict(name, join_parts(parts), False, parts) if parts else None
    failure = "it broke" if effects is None else None
    return Result(claim, verdict, {}, "digits", tuple(range(len(effects or []))), "quick", 1.0, {}, failure)


def test_flip_is_found_and_said_with_its_numbers(claims: dict[str, ClaimConfig]) -> None:
    one, two, three = list_variants(3, 3)[:3]
    outcomes: Any = {}
    name = "four-layer-speed-gap"
    add_outcomes(outcomes, one, [result(claims, name, [2.0, 1.6, 2.4])])
    add_outcomes(outcomes, two, [result(claims, name, [1.5, 2.0, 2.2])])
    assert is_stable(outcomes[name])
    assert describe(outcomes[name]) == "stable: confirmed on seeds 0 to 2, seeds 100 to 102"
    add_outcomes(outcomes, three, [result(claims, name, [1.0, math.inf, 2.0])])
    assert not is_stable(outcomes[name])
    assert describe(outcomes[name]) == (
        "not stable: confirmed on seeds 0 to 2, seeds 100 to 102; inconclusive on seeds 200 to 202"
    )
    (part,) = outcomes[name]["seeds 200 to 202"]["parts"]
    assert (part["median"], part["lowest"], part["highest"]) == (2.0, 1.0, "Infinity")
    assert (part["cleared"], part["count"]) == (1, 3)


def test_failure_is_no_verdict(claims: dict[str, ClaimConfig]) -> None:
    outcomes: Any = {}
    variant = list_variants(1, 3)[0]
    add_outcomes(outcomes, variant, [result(claims, "four-layer-speed-gap", None)])
    assert outcomes["four-layer-speed-gap"][variant.label] == {"verdict": "failed", "failure": "it broke", "parts": []}


def test_outcomes_are_kept_for_their_data_set_beside_those_of_other_claims(
    claims: dict[str, ClaimConfig], tmp_path: Path
) -> None:
    variant = list_variants(1, 3)[0]
    for name, effects in (("four-layer-speed-gap", [2.0, 2.0, 2.0]), ("relu-keeps-gradient", [0.0, 0.0, math.nan])):
        outcomes: Any = {}
        add_outcomes(outcomes, variant, [result(claims, name, effects)])
        write_outcomes(tmp_path, "digits", outcomes)
    assert set(read_outcomes(tmp_path, "digits")) == {"four-layer-speed-gap", "relu-keeps-gradient"}
    assert read_outcomes(tmp_path, "mnist") == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"dataset": "digits"}', '{"dataset": "digits", "claims": 3}'])
def test_damaged_outcomes_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "stability.json").write_text(text)
    assert read_outcomes(tmp_path, "digits") == {}
