"""Ending early: each replica by its own measure, against the same run that does not stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.config.schema import LOSS_WINDOW, ArmConfig
from vgtemplate.metrics.trained import steps_to_loss
from vgtemplate.records import Record
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware


def train(
    root: Path, seeds: list[int], lr: float = 0.1, num_validation: int = 0, **training: Any
) -> tuple[Record, PopulationModule]:
    config = ArmConfig.model_validate(
        {
            "model": {"depth": 2, "width": 32},
            "data": {"dataset": "digits", "num_train": 128, "batch_size": 32, "num_validation": num_validation},
            "optimiser": {"lr": lr},
            "training": {"steps": 200, "precision": "64-true", **training},
            "probes": {"every": 0},
        }
    )
    return train_arm("a", config, seeds, root, Hardware("cpu"))


def test_run_ends_when_the_slowest_replica_has_reached_the_loss(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, [0, 1, 2])
    stopped, _ = train(tmp_path, [0, 1, 2], stop_loss=1.0)
    steps = steps_to_loss(stopped)
    length = stopped.series["train_loss"].shape[1]
    assert np.isfinite(steps).all()
    assert steps.max() <= length < steps.max() + LOSS_WINDOW
    np.testing.assert_array_equal(stopped.series["train_loss"], whole.series["train_loss"][:, :length])


def test_replica_that_diverged_is_not_waited_for(tmp_path: Path) -> None:
    record, _ = train(tmp_path, [0, 1], lr=1e200, stop_loss=1.0)
    assert record.series["train_loss"].shape[1] == LOSS_WINDOW
    assert np.isinf(steps_to_loss(record)).all()


def test_loss_that_is_never_reached_takes_every_step(tmp_path: Path) -> None:
    record, _ = train(tmp_path, [0], stop_loss=1e-9)
    assert record.series["train_loss"].shape[1] == 200


def test_each_replica_is_kept_as_it_was_when_it_had_learned_everything(tmp_path: Path) -> None:
    stopped, module = train(tmp_path, [0, 1, 2], stop_accuracy=1.0, evaluate_train=True)
    finished = stopped.series["finished_at"]
    assert (finished > 0).all()
    assert len(set(finished.tolist())) > 1
    assert stopped.series["train_loss"].shape[1] == finished.max()
    np.testing.assert_array_equal(stopped.series["final_train_accuracy"], 1.0)
    for r, steps in enumerate(finished):
        _, alone = train(tmp_path, [r], steps=int(steps))
        for name, tensor in alone.model.state_dict().items():
            np.testing.assert_allclose(module.model.state_dict()[name][r], tensor[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("target", [0.5, 0.9])
def test_replica_is_looked_at_each_epoch_and_stops_at_the_first_that_is_good_enough(
    target: float, tmp_path: Path
) -> None:
    stopped, _ = train(tmp_path, [3], stop_accuracy=target)
    steps = int(stopped.series["finished_at"][0])
    assert steps % 4 == 0
    at_end, _ = train(tmp_path, [3], steps=steps, evaluate_train=True)
    before, _ = train(tmp_path, [3], steps=steps - 4, evaluate_train=True) if steps > 4 else (None, None)
    assert at_end.series["final_train_accuracy"][0] >= target
    assert before is None or before.series["final_train_accuracy"][0] < target


def test_accuracy_that_is_never_reached_is_said_so(tmp_path: Path) -> None:
    record, _ = train(tmp_path, [0], steps=4, stop_accuracy=1.0)
    assert record.series["finished_at"].tolist() == [-1]


def test_validation_beside_a_look_at_the_accuracy_changes_nothing(tmp_path: Path) -> None:
    """Both keep their sums in one place, the one in the inference mode of torch and the other not."""
    stopping = {"stop_accuracy": 0.9, "epochs": 20, "evaluate_train": True}
    alone, _ = train(tmp_path, [0, 1], **stopping, num_validation=40)
    beside, _ = train(tmp_path, [0, 1], **stopping, num_validation=40, validate_every=3)
    assert beside.weights_sha256 == alone.weights_sha256
    assert beside.series["validation_loss"].shape[1] > 5
    for name, series in alone.series.items():
        if not name.startswith("validation"):
            np.testing.assert_array_equal(beside.series[name], series)
