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


SLOPES = {
    "relu": lambda z: (z > 0) * 1.0,
    "leaky_relu": lambda z: np.where(z > 0, 1.0, 0.01),
    "prelu": lambda z: np.where(z > 0, 1.0, 0.25),
    "prelu_unit": lambda z: (z > 0) * 1.0,
    "rrelu": lambda z: np.where(z > 0, 1.0, (1 / 8 + 1 / 3) / 2),
    "elu": lambda z: np.exp(np.minimum(z, 0)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0))),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: 1 / (2 + np.exp(z) + np.exp(-z)),
}


@pytest.mark.parametrize("norm_position", [None, "before", "after"])
@pytest.mark.parametrize("name", SLOPES)
def test_dead_is_a_unit_whose_derivative_is_below_a_thousandth_for_every_image(
    name: str, norm_position: str | None, lab: Any
) -> None:
    """By hand, from the weights and the derivatives in closed form; biases from -12 to 12 bring units near death."""
    norm = {} if norm_position is None else {"norm": "batch", "norm_position": norm_position}
    module = lab.module(model={"depth": 1, "width": 9, "activation": name, **norm}, optimiser={"lr": 0.0})
    linear = module.model.hidden_layers[0].linear
    linear.bias.data += torch.linspace(-12, 12, 9, dtype=torch.float64)
    images = module.probe_images.flatten(1).numpy()
    expected = []
    for weight, bias in zip(linear.weight.detach().numpy(), linear.bias.detach().numpy(), strict=True):
        z = images @ weight + bias
        # Before the first step the running statistics are 0 and 1.
        z = z / np.sqrt(1 + 1e-5) if norm_position == "before" else z
        expected.append(np.mean(np.abs(SLOPES[name](z)).max(axis=0) < 1e-3))
    found = dead_fraction(lab, module)[:, 0, 0]
    assert found.tolist() == pytest.approx(expected)
    never = name in ("leaky_relu", "prelu", "rrelu")
    assert (found == 0).all() if never else (found > 0.1).all()


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
