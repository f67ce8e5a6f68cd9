"""The rough cost of an arm: more of anything costs more, and nothing else is asked of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job
from vgtemplate.lab.check_job import plan_check
from vgtemplate.lab.cost import estimate_megabytes, estimate_seconds, task_megabytes, task_seconds
from vgtemplate.lab.crew import Place, room_megabytes
from vgtemplate.lab.plan import Task
from vgtemplate.lab.workers import _take_next


def cost(num_seeds: int = 10, **sections: dict[str, Any]) -> float:
    return estimate_seconds(ArmConfig.model_validate(sections), num_seeds)


@pytest.mark.parametrize(
    "more",
    [
        {"model": {"depth": 20}},
        {"model": {"width": 256}},
        {"model": {"norm": "batch"}},
        {"training": {"steps": 2000}},
        {"training": {"epochs": 50}},
        {"training": {"precision": "64-true"}},
        {"probes": {"every": 1}},
        {"probes": {"gradient_change": True}},
        {"probes": {"shift": True}},
        {"probes": {"growth": True}},
        {"probes": {"removal": True}},
        {"probes": {"zero_gradients": True}},
        {"model": {"activation": "sigmoid"}, "pretraining": {"kind": "rbm"}},
        {"model": {"kind": "cnn"}},
    ],
)
def test_more_of_anything_costs_more(more: dict[str, dict[str, Any]]) -> None:
    assert cost(**more) > cost()


def test_less_costs_less() -> None:
    assert cost(3) < cost()
    assert cost(data={"batch_size": 16}) < cost()
    assert cost(data={"num_test": 10}) < cost()
    assert cost(probes={"every": 0}) < cost()
    assert cost(training={"evaluate": False}) < cost()


def test_data_of_ones_own_that_are_taken_whole_cost_as_much_as_usual_ones() -> None:
    training = {"epochs": 3, "evaluate_train": True}
    usual = cost(training=training)
    assert cost(data={"factory": "mine:make"}, training=training) == usual
    assert cost(data={"factory": "mine:make", "num_train": 1000}, training=training) < usual


def test_image_that_keeps_its_size_costs_more_than_one_that_is_halved() -> None:
    halved = {"model": {"kind": "cnn"}, "data": {"scaling": "unit"}}
    kept = {"model": {"kind": "cnn", "output": "image"}, "data": {"scaling": "unit"}, "training": {"noise": 0.3}}
    assert cost(**kept) > cost(**halved)


def job(name: str, **sections: dict[str, Any]) -> Job:
    return Job(name, name, "a-claim", ArmConfig.model_validate(sections), tuple(range(10)))


LARGE = {"model": {"kind": "cnn", "width": 64}}


def test_memory_grows_with_replicas_batch_depth_and_precision() -> None:
    arm = ArmConfig()
    assert estimate_megabytes(arm, 20) == 2 * estimate_megabytes(arm, 10)
    for more in ({"data": {"batch_size": 256}}, {"model": {"depth": 8}}, {"training": {"precision": "64-true"}}):
        assert estimate_megabytes(ArmConfig.model_validate(more), 10) == 2 * estimate_megabytes(arm, 10)


@pytest.mark.parametrize("share", [0.3, 0.6, 1.5])
def test_jobs_that_do_not_fit_together_never_run_together_and_small_ones_overtake(tmp_path: Path, share: float) -> None:
    queue: list[Task] = [job("a", **LARGE), job("b", **LARGE), job("c")]
    room = task_megabytes(queue[0]) / share

    def take(*running: Task) -> Task | None:
        return _take_next(queue, Place(True, list(running), room), tmp_path)

    first = take()
    assert first is not None
    assert first.name == "a"
    second = take(first)
    assert second is not None
    if share < 0.5:
        assert second.name == "b"
        return
    assert second.name == "c"
    assert take(first, second) is None
    last = take(second)
    assert last is not None
    assert last.name == "b"
    assert queue == []


def test_an_arm_costs_what_its_configuration_says_and_a_check_next_to_nothing() -> None:
    large = job("a", **LARGE)
    assert task_seconds(large) == estimate_seconds(large.config, 10)
    assert task_megabytes(large) == estimate_megabytes(large.config, 10)
    check = plan_check("a-claim", "chain_rule_product")
    assert (task_seconds(check), task_megabytes(check)) == (1.0, 0.0)


def test_the_room_is_half_of_the_machines_memory() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert room_megabytes() == pytest.approx(machine / 2e6, rel=0.01)
