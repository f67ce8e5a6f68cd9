"""A device that is out of memory: the population is trained in parts, and its record is that of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import SERIES, Record, write_record
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.run import train_arm, weights_digest
from vgtemplate.training.trainer import Checkpoints, Hardware

SEEDS = [3, 1, 4, 15, 9, 2, 6, 5]
ARMS: dict[str, dict[str, Any]] = {
    "plain": {"training": {"steps": 12}},
    "validated, with dropout": {
        "model": {"depth": 3, "width": 16, "norm": "batch", "dropout": 0.2},
        "data": {"num_validation": 40},
        "training": {"steps": 12, "validate_every": 3},
    },
    "pretrained": {"model": {"activation": "sigmoid"}, "pretraining": {"kind": "rbm", "steps": 5}},
    "stop at a loss": {"training": {"steps": 400, "stop_loss": 1.2}, "optimiser": {"lr": 0.3}},
    "stop at an accuracy": {"training": {"epochs": 30, "stop_accuracy": 0.7}, "optimiser": {"lr": 0.3}},
}


def config(name: str) -> ArmConfig:
    base: dict[str, Any] = {
        "data": {"dataset": "digits", "num_train": 100, "num_test": 50, "batch_size": 20},
        "model": {"depth": 2, "width": 12},
        "training": {"steps": 12},
        "probes": {"every": 5, "num_images": 20},
    }
    changes = ARMS[name]
    return ArmConfig.model_validate(
        {section: base.get(section, {}) | changes.get(section, {}) for section in base | changes}
    )


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A device with room for `most` networks in the third step of a training; `tried` are the populations it met."""
    device: dict[str, Any] = {"most": 99, "tried": []}
    step = PopulationModule.training_step

    def training_step(self: PopulationModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 2:
            device["tried"].append(self.num_replicas)
            if self.num_replicas > device["most"]:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(PopulationModule, "training_step", training_step)
    return device


def train(tmp_path: Path, name: str) -> tuple[Record, PopulationModule]:
    return train_arm(
        "a", config(name), SEEDS, tmp_path, Hardware("cpu"), checkpoints=Checkpoints(tmp_path / "saved", 0.0)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the device has too little memory")
@pytest.mark.parametrize("name", ARMS)
def test_parts_give_the_record_of_the_whole(tmp_path: Path, memory: dict[str, Any], name: str) -> None:
    whole, module = train(tmp_path / "whole", name)
    memory |= {"most": 2, "tried": []}
    parts, joined = train(tmp_path / "parts", name)
    assert memory["tried"][:4] == [8, 4, 2, 2]
    assert parts.environment["populations"] == [2, 2, 2, 2]
    assert parts.key == whole.key
    assert parts.seeds == whole.seeds
    assert set(parts.series) == set(whole.series)
    for series, array in whole.series.items():
        np.testing.assert_array_equal(parts.series[series], array, err_msg=series)
    assert parts.weights_sha256 == whole.weights_sha256 == weights_digest(joined)
    if module.best_weights is not None:
        assert joined.best_weights is not None
        for tensor, other in zip(module.best_weights.values(), joined.best_weights.values(), strict=True):
            assert torch.equal(tensor, other)
    assert write_record(tmp_path, parts).exists()


def test_halves_that_would_end_at_different_steps_end_together(tmp_path: Path, memory: dict[str, Any]) -> None:
    """Otherwise the test above would say nothing about early stops."""
    lengths = {
        len(train_arm("a", config("stop at an accuracy"), half, tmp_path, Hardware("cpu"))[0].series["train_loss"][0])
        for half in (SEEDS[:2], SEEDS[2:4], SEEDS[4:6], SEEDS[6:])
    }
    assert len(lengths) > 1


def test_what_is_done_is_said(tmp_path: Path, memory: dict[str, Any]) -> None:
    memory["most"] = 4
    with pytest.warns(UserWarning, match="too little memory for 5 networks at once; 3 and then 2 are trained"):
        train_arm("a", config("plain"), SEEDS[:5], tmp_path, Hardware("cpu"))


@pytest.mark.filterwarnings("ignore:the device has too little memory")
def test_one_network_that_does_not_fit_is_an_error_of_one_line(tmp_path: Path, memory: dict[str, Any]) -> None:
    memory["most"] = 0
    with pytest.raises(UserError, match=r"too little memory for one network; try a smaller data\.batch_size"):
        train(tmp_path, "plain")


def test_every_series_of_a_training_begins_with_its_replicas_or_is_the_same_for_all() -> None:
    for name, axes in SERIES.items():
        same_for_all = ("probe_steps", "validation_steps", "input_mean_square")
        assert axes.axes[0] in ("replica", "quantity") or name in same_for_all
