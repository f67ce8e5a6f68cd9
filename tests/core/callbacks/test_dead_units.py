"""Dead units: which they are, over all the probe images, in evaluation, and without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from vgtemplate.callbacks import dead_units as dead_units_file
from vgtemplate.callbacks.dead_units import DeadUnitProbe


def dead_fraction(lab: Any, module: Any, steps: int = 1) -> Any:
    probe = DeadUnitProbe()
    lab.run(module, lab.batches(steps), probe)
    return probe.series()["dead_fraction"]


def with_silenced(lab: Any, **model: Any) -> Any:
    """A population in which replica 1 has two silenced units in its second hidden layer."""
    small = {"activation": "relu", "initialiser": {"name": "normal", "std": 1e-3}}
    module = lab.module(model=small | model, optimiser={"lr": 0.0})
    for hidden in module.model.hidden_layers:
        hidden.linear.bias.data.fill_(10.0)
    module.model.hidden_layers[1].linear.bias.data[1, :2] = -100.0
    return module


def test_silenced_units_are_counted_in_their_replica_and_layer(lab: Any) -> None:
    expected = np.zeros((3, 3))
    expected[1, 1] = 2 / 5
    np.testing.assert_allclose(dead_fraction(lab, with_silenced(lab))[:, 0], expected)


def test_silenced_channels_are_counted(lab: Any) -> None:
    found = dead_fraction(lab, with_silenced(lab, kind="cnn", num_stages=1))
    assert found[1, :, 1] == pytest.approx(2 / 5)
    assert found.sum() == pytest.approx(4 / 5)


def test_every_chunk_of_the_probe_images_counts(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that one single image wakes is not dead, whichever chunk the image falls into."""
    monkeypatch.setattr(dead_units_file, "_CHUNK", 3)
    for awake in (None, 0, 3, 6):
        module = lab.module(model={"depth": 1, "activation": "relu"}, optimiser={"lr": 0.0})
        linear = module.model.hidden_layers[0].linear
        linear.weight.data.zero_()
        linear.weight.data[:, 0, :] = 1.0
        linear.bias.data.fill_(-1.0)
        module.probe_images = torch.zeros(7, *lab.shape, dtype=torch.float64)
        if awake is not None:
            module.probe_images[awake, 0, 0, 0] = 5.0
        assert (dead_fraction(lab, module) == (awake is None)).all()


def test_dropout_makes_no_unit_dead_and_running_statistics_stay(lab: Any) -> None:
    module = with_silenced(lab, dropout=0.9, norm="batch", norm_position="after")
    found = dead_fraction(lab, module)[:, 0]
    assert found.sum() == pytest.approx(2 / 5)
    assert module.model.hidden_layers[0].norm_after.running_mean.ne(0).any()  # the training batch moved them


@pytest.mark.parametrize("frozen", [False, True])
def test_modes_of_the_modules_come_back(frozen: bool, lab: Any) -> None:
    """Someone may train with a part of the network in evaluation."""
    module = lab.module(model={"norm": "batch"})
    part = module.model.hidden_layers[0]
    seen: list[tuple[bool, bool]] = []

    class Freeze(DeadUnitProbe):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            part.train(not frozen)
            super().on_train_start(trainer, pl_module)
            seen.append((part.norm_before.training, pl_module.model.hidden_layers[1].training))

    lab.run(module, lab.batches(2), Freeze())
    assert seen == [(not frozen, True)]
    assert torch.equal(part.norm_before.running_mean, torch.zeros_like(part.norm_before.running_mean)) == frozen


def test_looks_are_before_the_first_step_and_after_the_last(lab: Any) -> None:
    """A unit whose bias the only step moves below every image is dead at the second look alone."""
    module = lab.module(model={"depth": 1, "activation": "relu"}, optimiser={"lr": 0.0})
    linear = module.model.hidden_layers[0].linear
    linear.bias.data.fill_(10.0)
    probe = DeadUnitProbe()

    class Kill(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            linear.bias.data[0] = -100.0

    lab.run(module, lab.batches(3), Kill(), probe)
    np.testing.assert_array_equal(probe.series()["dead_fraction"], [[[0], [1]], [[0], [0]], [[0], [0]]])


def test_network_without_probe_images_has_no_dead_units(lab: Any) -> None:
    probe = DeadUnitProbe()
    lab.run(lab.module(probe=False), lab.batches(1), probe)
    assert probe.series() == {}


def test_replica_of_nans_has_no_number_of_dead_units(lab: Any) -> None:
    module = with_silenced(lab)
    module.model.hidden_layers[1].linear.weight.data[2] = float("nan")
    found = dead_fraction(lab, module)
    assert np.isnan(found[2, 0, 1:]).all()
    assert np.isfinite(found[:2]).all()
    assert found[2, 0, 0] == 0
