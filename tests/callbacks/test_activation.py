"""Dead units: which they are, over all the probe images, in evaluation, and without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vgtemplate.callbacks import activation as activation_module
from vgtemplate.callbacks.activation import ActivationProbe


def dead_fraction(lab: Any, module: Any, steps: int = 1) -> Any:
    probe = ActivationProbe(every=1)
    lab.run(module, lab.batches(steps), probe)
    return probe.recorder.series()["dead_fraction"]


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
    assert found[1, 0, 1] == pytest.approx(2 / 5)
    assert found.sum() == pytest.approx(2 / 5)


def test_every_chunk_of_the_probe_images_counts(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that one single image wakes is not dead, whichever chunk the image falls into."""
    monkeypatch.setattr(activation_module, "_CHUNK", 3)
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
    found = dead_fraction(lab, module)
    assert found.sum() == pytest.approx(2 / 5)
    assert module.model.hidden_layers[0].norm_after.running_mean.ne(0).any()  # the training batch moved them


@pytest.mark.parametrize("frozen", [False, True])
def test_modes_of_the_modules_come_back(frozen: bool, lab: Any) -> None:
    """Someone may train with a part of the network in evaluation."""
    module = lab.module(model={"norm": "batch"})
    part = module.model.hidden_layers[0]
    seen: list[tuple[bool, bool]] = []

    class Freeze(ActivationProbe):
        def begin(self, pl_module: Any) -> None:
            part.train(not frozen)
            super().begin(pl_module)
            seen.append((part.norm_before.training, pl_module.model.hidden_layers[1].training))

    lab.run(module, lab.batches(2), Freeze(every=1))
    assert seen == [(not frozen, True)] * 2
    assert torch.equal(part.norm_before.running_mean, torch.zeros_like(part.norm_before.running_mean)) == frozen


def test_population_without_probe_images_has_no_dead_units(lab: Any) -> None:
    probe = ActivationProbe(every=1)
    lab.run(lab.module(probe=False), lab.batches(1), probe)
    assert set(probe.recorder.series()) == {"signal_rms", "signal_mean", "derivative_rms", "saturated_fraction"}


def test_replica_of_nans_has_no_number_of_dead_units(lab: Any) -> None:
    module = with_silenced(lab)
    module.model.hidden_layers[1].linear.weight.data[2] = float("nan")
    found = dead_fraction(lab, module)
    assert np.isnan(found[2, 0, 1:]).all()
    assert np.isfinite(found[:2]).all()
    assert found[2, 0, 0] == 0
