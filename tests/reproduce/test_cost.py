"""The rough cost of an arm: more of anything costs more, and nothing else is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.schema import ArmConfig
from vgtemplate.reproduce.cost import estimate_megabytes, estimate_seconds
from vgtemplate.reproduce.plan import Job
from vgtemplate.reproduce.run import _take_next


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


def test_image_that_keeps_its_size_costs_more_than_one_that_is_halved() -> None:
    halved = {"model": {"kind": "cnn"}, "data": {"scaling": "unit"}}
    kept = {"model": {"kind": "cnn", "output": "image"}, "data": {"scaling": "unit"}, "training": {"noise": 0.3}}
    assert cost(**kept) > cost(**halved)


def job(name: str, **sections: dict[str, Any]) -> Job:
    return Job(name, name, ArmConfig.model_validate(sections), None, tuple(range(10)), ("a-claim",))


LARGE = {"model": {"kind": "cnn", "width": 64}}


def test_memory_grows_with_replicas_batch_depth_and_precision() -> None:
    arm = ArmConfig()
    assert estimate_megabytes(arm, 20) == 2 * estimate_megabytes(arm, 10)
    for more in ({"data": {"batch_size": 256}}, {"model": {"depth": 8}}, {"training": {"precision": "64-true"}}):
        assert estimate_megabytes(ArmConfig.model_validate(more), 10) == 2 * estimate_megabytes(arm, 10)


def test_two_large_jobs_never_run_together_and_small_ones_overtake(tmp_path: Path) -> None:
    queue = [job("a", **LARGE), job("b", **LARGE), job("c")]
    first = _take_next(queue, [], tmp_path)
    assert first is not None
    assert first.name == "a"
    second = _take_next(queue, [first], tmp_path)
    assert second is not None
    assert second.name == "c"
    assert _take_next(queue, [first, second], tmp_path) is None
    last = _take_next(queue, [second], tmp_path)
    assert last is not None
    assert last.name == "b"
    assert queue == []
