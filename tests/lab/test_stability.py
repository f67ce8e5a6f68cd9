"""Which verdicts change when only one thing does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import NO_FILES, make_no_file
from vgtemplate.jobs.job import Job
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.judge import Verdict, join_parts, judge_effects
from vgtemplate.lab.plan import plan_claims, select_claims
from vgtemplate.lab.result import Result
from vgtemplate.lab.stability import (
    AXES,
    CHEAP_SECONDS,
    Variant,
    add_machines,
    add_outcomes,
    describe,
    is_stable,
    list_variants,
    plan_variant,
    read_outcomes,
    scale_width,
    write_outcomes,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    return load_claims(EXPERIMENTS)


@given(st.integers(1, 20), st.integers(1, 300))
def test_sets_of_seeds_share_no_seed_and_the_first_is_the_usual_one(num_sets: int, num_seeds: int) -> None:
    sets = [variant.seeds for variant in list_variants(num_sets, num_seeds, AXES) if variant.is_for_all]
    assert len(sets) == num_sets
    assert sets[0] == tuple(range(num_seeds))
    seeds = [seed for each in sets for seed in each]
    assert len(set(seeds)) == len(seeds) == num_sets * num_seeds


def test_three_sets_are_those_of_the_documentation() -> None:
    labels = [variant.label for variant in list_variants(3, 10, AXES, ["digits"])]
    assert labels[:3] == ["seeds 0 to 9", "seeds 100 to 109", "seeds 200 to 209"]
    assert labels[3:] == ["float32", "float64", "width x 0.5", "width x 2", "digits", "1 thread", "2 threads"]


def test_an_axis_that_is_not_asked_for_has_no_variants_beside_the_usual_one() -> None:
    assert [variant.label for variant in list_variants(3, 10, ["machine"], ["digits"])] == ["seeds 0 to 9"]
    assert [variant.label for variant in list_variants(3, 10, ["width"], ["digits"])][1:] == [
        "width x 0.5",
        "width x 2",
    ]


def test_no_set_holds_a_seed_that_settings_were_searched_on() -> None:
    assert max(max(variant.seeds) for variant in list_variants(3, 10, AXES)) < 1000


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


@pytest.mark.parametrize(
    ("name", "arm", "widths"),
    [
        ("relu-keeps-gradient", "relu", {0.5: 32, 2: 128}),
        ("glorot-suits-saturating", "tanh-he", {0.5: [32, 64], 2: [128, 256]}),
        ("two-layer-speed-gap", "depth-2", {0.5: 15, 2: 60}),
    ],
)
def test_width_is_all_that_a_width_changes(
    claims: dict[str, ClaimConfig], tmp_path: Path, name: str, arm: str, widths: dict[float, Any]
) -> None:
    chosen = select_claims(claims, [name])
    usual = plan_variant(Variant("seeds", (0, 1)), chosen, EXPERIMENTS, "digits", tmp_path)
    for factor, width in widths.items():
        other = plan_variant(Variant("w", (0, 1), width=factor), chosen, EXPERIMENTS, "digits", tmp_path)
        one, two = usual.jobs[usual.keys[name][arm]], other.jobs[other.keys[name][arm]]
        assert isinstance(one, Job)
        assert isinstance(two, Job)
        model = one.config.model.model_copy(update={"width": width})
        assert two.config == one.config.model_copy(update={"model": model})


def test_a_layer_keeps_one_unit_at_least(claims: dict[str, ClaimConfig]) -> None:
    narrow = scale_width(claims["relu-keeps-gradient"], EXPERIMENTS, 1e-6)
    assert {patch["model"]["width"] for patch in narrow.arms.values()} == {1}


def test_a_variant_makes_the_first_look_alone(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    chosen = select_claims(claims, ["relu-keeps-gradient"])
    assert plan_claims(chosen, EXPERIMENTS, "digits", range(10), tmp_path).later
    for variant in list_variants(2, 10, AXES, ["digits"]):
        assert plan_variant(variant, chosen, EXPERIMENTS, "digits", tmp_path).later == {}


def test_a_claim_without_picks_on_a_data_set_is_left_out_there(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    chosen = select_claims(claims, ["batchnorm-either-side", "relu-keeps-gradient"])
    plan = plan_variant(Variant("s", (0, 1), dataset="synthetic"), chosen, EXPERIMENTS, "digits", tmp_path)
    assert list(plan.claims) == ["relu-keeps-gradient"]
    assert "not searched on synthetic" in plan.failures["batchnorm-either-side"]
    assert {job.config.data.dataset for job in plan.jobs.values() if isinstance(job, Job)} == {"synthetic"}


def test_photographs_of_a_folder_take_the_place_of_cifar10(
    claims: dict[str, ClaimConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vgtemplate.jobs.job.fingerprint", lambda *_: "a folder")
    chosen = select_claims(claims, ["relu-keeps-gradient"])
    variant = Variant("cifar10", (0, 1), dataset="cifar10")
    plan = plan_variant(variant, chosen, EXPERIMENTS, "digits", tmp_path, cifar=tmp_path)
    assert {(job.config.data.dataset, job.config.data.path) for job in plan.jobs.values() if isinstance(job, Job)} == {
        ("image_folder", str(tmp_path))
    }


def test_committed_verdicts_are_the_machines(
    claims: dict[str, ClaimConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes: Any = {}
    add_outcomes(outcomes, list_variants(1, 3, AXES)[0], [result(claims, "four-layer-speed-gap", [2.0, 1.6, 2.4])])
    entry = {"kind": "initial", "verdict": "refuted", "deciding": "a", "parts": []}
    machine = {"name": "m", "model": "M", "features": [], "capability": "AVX2", "cores": 2, "blas": "mkl"}
    content = {"date": "2026-11-26", "dataset": "digits", "setting": "quick", "machine": machine, "versions": {}}
    content |= {"commits": [], "networks": 1, "seconds": 1.0}
    (tmp_path / "docs" / "verdicts").mkdir(parents=True)
    path = tmp_path / "docs" / "verdicts" / "digits-m.json"
    path.write_text(json.dumps(content | {"claims": {"four-layer-speed-gap": entry, "relu-keeps-gradient": entry}}))
    assert add_machines(outcomes, "mnist") == []
    assert add_machines(outcomes, "digits") == ["M, AVX2"]
    assert set(outcomes) == {"four-layer-speed-gap"}
    assert describe(outcomes["four-layer-speed-gap"]) == "not stable: confirmed on seeds 0 to 2; refuted on M, AVX2"


def test_threads_keep_their_records_to_themselves(tmp_path: Path) -> None:
    folders = {variant.results(tmp_path) for variant in list_variants(3, 10, AXES) if variant.threads}
    assert len(folders) == 2
    assert tmp_path not in folders
    assert all(variant.results(tmp_path) == tmp_path for variant in list_variants(3, 10, AXES) if not variant.threads)


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
    one, two, three = list_variants(3, 3, AXES)[:3]
    outcomes: Any = {}
    name = "four-layer-speed-gap"
    add_outcomes(outcomes, one, [result(claims, name, [2.0, 1.6, 2.4])])
    add_outcomes(outcomes, two, [result(claims, name, [1.5, 2.0, 2.2])])
    assert is_stable(outcomes[name])
    assert describe(outcomes[name]) == "stable: confirmed on seeds 0 to 2, seeds 100 to 102"
    add_outcomes(outcomes, three, [result(claims, name, [1.0, math.inf, 2.0])])
    assert is_stable(outcomes[name])  # open: more seeds would decide it
    assert describe(outcomes[name]) == "stable: confirmed on seeds 0 to 2, seeds 100 to 102; open on seeds 200 to 202"
    (part,) = outcomes[name]["seeds 200 to 202"]["parts"]
    assert (part["median"], part["lowest"], part["highest"]) == (2.0, 1.0, "Infinity")
    assert (part["cleared"], part["count"]) == (1, 3)
    add_outcomes(outcomes, three, [result(claims, name, [1.0, 1.0, 1.0])])
    assert not is_stable(outcomes[name])
    assert describe(outcomes[name]) == (
        "not stable: confirmed on seeds 0 to 2, seeds 100 to 102; refuted on seeds 200 to 202"
    )


def test_failure_is_no_verdict(claims: dict[str, ClaimConfig]) -> None:
    outcomes: Any = {}
    variant = list_variants(1, 3, AXES)[0]
    add_outcomes(outcomes, variant, [result(claims, "four-layer-speed-gap", None)])
    assert outcomes["four-layer-speed-gap"][variant.label] == {"verdict": "failed", "failure": "it broke", "parts": []}


def test_outcomes_are_kept_for_their_data_set_beside_those_of_other_claims(
    claims: dict[str, ClaimConfig], tmp_path: Path
) -> None:
    variant = list_variants(1, 3, AXES)[0]
    for name, effects in (("four-layer-speed-gap", [2.0, 2.0, 2.0]), ("relu-keeps-gradient", [0.0, 0.0, math.nan])):
        outcomes: Any = {}
        add_outcomes(outcomes, variant, [result(claims, name, effects)])
        write_outcomes(tmp_path, "digits", outcomes)
    assert set(read_outcomes(tmp_path, "digits")) == {"four-layer-speed-gap", "relu-keeps-gradient"}
    assert read_outcomes(tmp_path, "mnist") == {}
    wider: Any = {}
    other = Variant("width x 2", (0, 1, 2), width=2)
    add_outcomes(wider, other, [result(claims, "relu-keeps-gradient", [0.0, 0.0, 0.0])])
    write_outcomes(tmp_path, "digits", wider)
    assert list(read_outcomes(tmp_path, "digits")["relu-keeps-gradient"]) == [variant.label, "width x 2"]


DAMAGED = ("", "[]", "{}", "{", "[" * 200_000, '{"dataset": "digits"}', '{"dataset": "digits", "claims": 3}')


@pytest.mark.parametrize("text", DAMAGED, ids=len)
def test_damaged_outcomes_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "stability.json").write_text(text)
    assert read_outcomes(tmp_path, "digits") == {}


@pytest.mark.parametrize("kind", NO_FILES)
def test_outcomes_that_are_no_file_are_none(kind: str, tmp_path: Path) -> None:
    make_no_file(tmp_path, kind, "stability.json")
    assert read_outcomes(tmp_path, "digits") == {}
