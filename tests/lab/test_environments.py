"""Records that are judged together and were made in different environments are told apart, in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vgtemplate.lab.environments import describe_differences, facts_of, join_environments
from vgtemplate.records import Record

XEON = {"model": "Intel(R) Xeon(R) CPU @ 2.20GHz", "capability": "AVX512", "cores": 2}
BASE: dict[str, Any] = {
    "device": "cpu",
    "device_name": "x86_64",
    "processor": XEON,
    "threads": 2,
    "versions": {"torch": "2.13.0+cpu", "numpy": "2.1"},
    "commit": "c0ffee",
}


def said(*environments: dict[str, Any]) -> str:
    return describe_differences(map(facts_of, environments))


def test_one_environment_is_not_worth_a_word() -> None:
    assert said() == ""
    assert said(BASE) == ""
    assert said(BASE, BASE | {"commit": "another", "images_per_second": 3.0}) == ""


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"versions": {"torch": "2.12.1"}}, "torch 2.13 (3 arms), torch 2.12 (1 arm)"),
        ({"threads": 1}, "2 threads (3 arms), 1 thread (1 arm)"),
        ({"processor": XEON | {"model": "AMD EPYC"}}, "Intel Xeon, AVX512 (3 arms), AMD EPYC, AVX512 (1 arm)"),
        ({"processor": XEON | {"capability": "AVX2"}}, "Intel Xeon, AVX512 (3 arms), Intel Xeon, AVX2 (1 arm)"),
        ({"device": "cuda", "device_name": "NVIDIA H100"}, "Intel Xeon, AVX512 (3 arms), NVIDIA H100 (cuda) (1 arm)"),
    ],
)
def test_what_differs_is_said_with_the_number_of_arms(change: dict[str, Any], difference: str) -> None:
    assert said(BASE, BASE, BASE | change, BASE) == f"made in different environments: {difference}"


def test_several_differences_are_one_sentence() -> None:
    other = BASE | {"threads": 1, "versions": {"torch": "3.0"}}
    assert said(BASE, other) == (
        "made in different environments: torch 2.13 (1 arm), torch 3.0 (1 arm); 1 thread (1 arm), 2 threads (1 arm)"
    )


def test_a_patch_of_torch_is_no_difference_nor_is_what_is_not_known() -> None:
    assert said(BASE, BASE | {"versions": {"torch": "2.13.2"}}) == ""
    assert said(BASE, {}) == ""


def test_training_that_was_taken_up_with_another_number_of_threads_is_of_both() -> None:
    parts = [{"from_step": 0, "device": "cpu", "threads": 1}, {"from_step": 9, "device": "cpu", "threads": 2}]
    assert "2 threads (2 arms), 1 thread (1 arm)" in said(BASE, BASE | {"parts": parts})


@pytest.mark.parametrize("odd", [{"versions": 3}, {"processor": []}, {"parts": 1}, {"also": "x"}, {"threads": [1]}])
def test_what_a_record_invents_does_no_harm(odd: dict[str, Any]) -> None:
    assert isinstance(said(BASE, BASE | odd), str)


def test_joined_record_keeps_the_environments_of_all_its_sets_of_seeds() -> None:
    def record(first: int, **change: Any) -> Record:
        return Record("k", "a", {}, (first,), {}, BASE | change, 1.0, {"test_accuracy": np.array([0.5])})

    assert join_environments([record(0), record(1)]) == BASE
    joined = join_environments([record(0), record(1, threads=4), record(2)])
    assert said(joined) == "made in different environments: 2 threads (1 arm), 4 threads (1 arm)"
