"""The doctor's zoo: large enough, every fault in both halves, honest intervals, and each kind of training steps."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from scipy.stats import binom

from benchmarks.doctor import again, symptoms, zoo
from benchmarks.doctor.case import CODES, Case, Training, steps_of
from benchmarks.doctor.check import check
from benchmarks.doctor.fifth import shelves as fifth
from benchmarks.doctor.fourth import shelves as fourth
from benchmarks.doctor.peers import RULES, names_of_peers
from benchmarks.doctor.second import shelves
from benchmarks.doctor.sixth import shelves as sixth
from benchmarks.doctor.tally import clopper_pearson, tally
from benchmarks.doctor.third import shelves as third
from benchmarks.doctor.workers import diagnose_case

SECOND = zoo.cases(zoo.SECOND)
THIRD = zoo.cases(zoo.THIRD)
FOURTH = zoo.cases(zoo.FOURTH)
FIFTH = zoo.cases(zoo.FIFTH)
SIXTH = zoo.cases(zoo.SIXTH)
OWN = [case for half in zoo.HALVES for case in zoo.cases(half) if not case.name.startswith("public-")]
BY_NAME = {case.name: case for case in [*OWN, *SECOND, *THIRD, *FOURTH, *FIFTH, *SIXTH]}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(OWN) + len(SECOND) + len(THIRD) + len(FOURTH) + len(FIFTH) + len(SIXTH)


def test_there_are_enough_of_both_kinds() -> None:
    kinds = Counter(case.kind for case in OWN)
    assert kinds["healthy"] >= 150
    assert kinds["ill"] >= 150


def test_every_code_has_four_instances_and_is_in_both_halves() -> None:
    counts = Counter(case.label for case in OWN if case.kind == "ill")
    assert set(counts) == set(CODES)
    assert min(counts.values()) >= 4
    halves = {(case.label, zoo.half(case.name)) for case in OWN if case.kind == "ill"}
    assert halves == {(code, half) for code in CODES for half in zoo.HALVES}


def test_labels_are_codes_and_the_ill_ones_have_a_cured_twin() -> None:
    for case in [*OWN, *SECOND, *THIRD, *FOURTH, *FIFTH, *SIXTH]:
        if case.kind == "healthy":
            assert (case.label, case.also, case.cured) == ("none", frozenset(), None)
        else:
            assert case.also <= set(CODES) - {case.label}
            assert case.cured is not None


def test_halves_depend_on_the_name_alone() -> None:
    # sha256("a") begins with ca, of "b" with 3e.
    assert (zoo.half("a"), zoo.half("b")) == (zoo.HALVES[1], zoo.HALVES[0])
    sizes = Counter(zoo.half(case.name) for case in OWN)
    assert abs(sizes[zoo.HALVES[0]] - sizes[zoo.HALVES[1]]) < 5 * math.sqrt(len(OWN))


def test_the_second_zoo_is_large_enough_and_has_every_code() -> None:
    kinds = Counter(case.kind for case in SECOND)
    assert kinds["healthy"] >= 150
    assert kinds["ill"] >= 120
    counts = Counter(case.label for case in SECOND if case.kind == "ill")
    assert set(counts) == set(CODES)
    assert min(counts.values()) >= 4
    assert {zoo.half(case.name) for case in SECOND} == {zoo.SECOND}


def test_the_second_zoo_is_the_one_that_was_fixed_before_the_doctor_saw_it() -> None:
    assert shelves.digest() == shelves.FIXED
    one, *rest = shelves.CASES
    assert shelves.digest((*rest, one)) == shelves.FIXED  # in any order
    assert shelves.digest(tuple(rest)) != shelves.FIXED


def test_the_third_zoo_is_large_enough_and_has_every_code() -> None:
    kinds = Counter(case.kind for case in THIRD)
    assert kinds["healthy"] >= 100
    assert kinds["ill"] >= 100
    counts = Counter(case.label for case in THIRD if case.kind == "ill")
    assert set(counts) == set(CODES)
    assert min(counts.values()) >= 2
    assert {zoo.half(case.name) for case in THIRD} == {zoo.THIRD}


def test_the_third_zoo_is_the_one_that_was_fixed_before_the_doctor_saw_it() -> None:
    assert shelves.digest(third.CASES) == third.FIXED


def test_the_fourth_zoo_is_large_enough_and_has_every_code() -> None:
    kinds = Counter(case.kind for case in FOURTH)
    assert kinds["healthy"] >= 100
    assert kinds["ill"] >= 110
    counts = Counter(case.label for case in FOURTH if case.kind == "ill")
    assert set(counts) == set(CODES)
    assert min(counts.values()) >= 2
    assert {zoo.half(case.name) for case in FOURTH} == {zoo.FOURTH}


def test_the_fourth_zoo_is_the_one_that_was_fixed_before_the_doctor_saw_it() -> None:
    assert shelves.digest(fourth.CASES) == fourth.FIXED


def test_the_fifth_zoo_has_three_of_every_code_and_is_the_one_that_was_fixed_before_the_doctor_saw_it() -> None:
    counts = Counter(case.label for case in FIFTH)
    assert counts.pop("none") >= 150
    assert counts == dict.fromkeys(CODES, 3)
    assert {zoo.half(case.name) for case in FIFTH} == {zoo.FIFTH}
    assert shelves.digest(fifth.CASES) == fifth.FIXED


def test_the_sixth_zoo_has_every_code_and_is_the_one_that_was_fixed_before_the_doctor_saw_it() -> None:
    counts = Counter(case.label for case in SIXTH)
    assert counts.pop("none") >= 100
    assert set(counts) == set(CODES)
    assert set(counts.values()) == {2, 3}
    assert {zoo.half(case.name) for case in SIXTH} == {zoo.SIXTH}
    assert shelves.digest(sixth.CASES) == sixth.FIXED


STEPPED = (
    "mlp-relu-sgd",
    "unet-adam",
    "gan",
    "lora-adam",
    "float16-scaler",
    "rows-lstm-adam",
    "nan-forward--log",
    "graph-grows--bank",
    "unscaled-targets--prices",
    "lenet-sgd",
    "maml",
    "sac",
    "sparse-tables",
    "graph-grows--queue-of-keys",
    "steps-in-backward",
    "private-samples",
    "graph-grows--slow-copy-arms",
    "nan-forward--lonely-node",
    "td3",
    "graph-grows--metrics",
    "nan-backward--body-at-rest",
)


@pytest.mark.parametrize("name", STEPPED)
def test_a_training_steps_and_derives_from_its_seed(name: str) -> None:
    def losses(seed: int) -> list[float]:
        return [float(value.detach()) for value in steps_of(BY_NAME[name].make(seed), 3)]

    first = losses(0)
    assert len(first) == 3
    torch.testing.assert_close(first, losses(0), rtol=0, atol=0, equal_nan=True)
    if math.isfinite(first[0]):
        assert first != losses(1)


CHECKED = (
    "mlp-tanh-adam",
    "dead-units--mlp",
    "not-in-optimizer--copied",
    "graph-grows--bank",
    "pointnet-adam",
    "gcn-adam",
    "loss-head-mismatch--spread-diabetes",
    "stuck-at-zero--zero-towers",
    "frozen-buffers-move--thaws-columns",
    "margins-adam",
    "not-in-optimizer--late-assigned",
    "nan-backward--third-softplus",
    "fixup-40-blocks",
    "disconnected-parameters--captions-by-hook",
    "unregistered-parameters--plain-objects",
    "precision-overflow--feed-forward",
)


@pytest.mark.parametrize("name", CHECKED)
def test_a_case_is_what_it_says(name: str) -> None:
    right, seen = check(BY_NAME[name])
    assert right, seen


def test_a_healthy_training_passes_for_no_fault() -> None:
    healthy = BY_NAME["mlp-tanh-adam"].make
    assert symptoms.breaks(healthy, 5, 0) == "nowhere"
    assert not symptoms.grows(healthy, 0)
    assert symptoms.dead_share(BY_NAME["mlp-relu-sgd"].make, 20, 0) < 0.5


@pytest.mark.parametrize(("hits", "of"), [(0, 20), (1, 30), (7, 9), (148, 150), (40, 40)])
def test_the_interval_is_clopper_and_pearsons(hits: int, of: int) -> None:
    low, high = clopper_pearson(hits, of)
    if hits:
        assert binom.sf(hits - 1, of, low) == pytest.approx(0.025)
    else:
        assert low == 0.0
    if hits < of:
        assert binom.cdf(hits, of, high) == pytest.approx(0.025)
    else:
        assert high == 1.0


def test_the_interval_of_nothing_is_everything() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def made_up(name: str, label: str, also: str = "") -> Case:
    def make(seed: int) -> Training:
        raise AssertionError

    kind = "healthy" if label == "none" else "ill"
    return Case(name, kind, label, "made up", partial(make), frozenset(also.split()))


def test_the_tally_counts() -> None:
    cases = [
        made_up("right", "dead-units"),
        made_up("second", "dead-units"),
        made_up("other name", "oscillation", also="step-too-large"),
        made_up("wrong", "nan-forward"),
        made_up("missed", "nan-forward"),
        made_up("well", "none"),
        made_up("wolf", "none"),
    ]
    said = {
        "right": ["dead-units"],
        "second": ["step-too-large", "dead-units"],
        "other name": ["step-too-large"],
        "wrong": ["nan-backward"],
        "missed": [],
        "well": [],
        "wolf": ["oscillation"],
    }
    counts = tally(cases, said)
    assert (counts.recall.hits, counts.recall.of) == (4, 5)
    assert (counts.right.hits, counts.first.hits) == (3, 2)
    assert (counts.false.hits, counts.false.of) == (1, 2)
    assert counts.confusion["nan-forward"] == {"nan-backward": 1, "none": 1}
    assert [name for name, _, _ in counts.misses] == ["wrong", "missed"]
    assert counts.alarms == [("wolf", ["oscillation"])]


def test_the_peers_say_what_their_rules_say() -> None:
    dead = names_of_peers(BY_NAME["dead-units--mlp"], 0)
    assert set(dead) == set(RULES)
    assert "dead-units" in dead["SageMaker Debugger"]
    assert "dead-units" in dead["AutoTrainer"]
    assert "dead-units" in dead["DeepLocalize/DeepDiagnosis"]
    broken = names_of_peers(BY_NAME["nan-backward--norm-at-zero"], 0)
    assert all("exploding-depth" in codes for codes in broken.values())
    assert names_of_peers(BY_NAME["mlp-relu-sgd"], 0)["gradient norm 1e-6 to 100"] == set()


def test_rules_say_the_same_of_what_was_kept_as_beside_the_training(tmp_path: Path) -> None:
    chosen = [BY_NAME[name] for name in ("f5-deep-q-lesson", "loss-head-mismatch--view-for-permute")]
    again.keep(chosen, tmp_path)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(times) == 2
    again.keep(chosen, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == times
    assert again.judge(chosen, tmp_path) == {case.name: diagnose_case(case)["codes"] for case in chosen}
