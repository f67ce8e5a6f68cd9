"""Layer-by-layer pretraining: what it leaves in the network, and that replicas stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F

from vgtemplate.config.network import InitialiserConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.noise import Noise
from vgtemplate.records import Record
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.pretraining import absorb_map, pixel_map, pretrain
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware


def train(
    root: Path, kind: str, seeds: list[int], lr: float = 0.1, steps: int = 60, **sections: dict[str, Any]
) -> tuple[Record, PopulationModule]:
    settings: dict[str, dict[str, Any]] = {
        "model": {"depth": 3, "width": 16, "activation": "sigmoid"},
        "data": {"dataset": "digits", "batch_size": 32},
        "pretraining": {"kind": kind, "steps": steps, "lr": lr},
        "training": {"steps": 1, "precision": "64-true"},
        "optimiser": {"lr": 0.0},
    }
    for name, section in sections.items():
        settings[name] = settings.get(name, {}) | section
    return train_arm("a", ArmConfig.model_validate(settings), seeds, root, Hardware("cpu"))


@pytest.mark.parametrize("std", [0.3, 0.0])
def test_folded_layer_computes_from_scaled_images_what_it_learned_on_pixels(std: float) -> None:
    """Three channels of 4 pixels, one of which never changes (deviation 0)."""
    linear = Linear(12, 5, build_draws(InitialiserConfig(name="glorot_normal"), "normal", [0, 1])).double()
    info = {"mean": [0.1, 0.5, 0.7], "std": [0.2, 0.9, std]}
    pixels = torch.rand(2, 6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, deviation = torch.tensor(info["mean"]), torch.tensor([value or 1.0 for value in info["std"]])
    scaled = (pixels - mean.double()[:, None]) / deviation.double()[:, None]
    before = linear(pixels.flatten(2))
    absorb_map(linear, *pixel_map(info, "standardise", 4))
    torch.testing.assert_close(linear(scaled.flatten(2)), before, rtol=1e-12, atol=1e-12)


def test_images_in_the_unit_range_are_pixels_already() -> None:
    scale, shift = pixel_map({"mean": [0.1], "std": [0.2]}, "unit", 4)
    assert torch.equal(scale, torch.ones(4).double())
    assert torch.equal(shift, torch.zeros(4).double())


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_every_layer_learns_to_reconstruct(kind: str, tmp_path: Path) -> None:
    record, _ = train(tmp_path, kind, [0, 1], steps=150)
    losses = record.series["reconstruction_loss"]
    assert losses.shape == (2, 3, 50)
    assert (losses[:, :, -5:].mean(axis=2) < 0.95 * losses[:, :, 0]).all()


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_a_replica_does_not_depend_on_the_seeds_beside_it(kind: str, tmp_path: Path) -> None:
    together, population = train(tmp_path, kind, [3, 7])
    alone, single = train(tmp_path, kind, [7])
    np.testing.assert_allclose(
        together.series["reconstruction_loss"][1], alone.series["reconstruction_loss"][0], rtol=1e-5
    )
    for name, tensor in single.model.state_dict().items():
        torch.testing.assert_close(population.model.state_dict()[name][1], tensor[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_the_same_twice_is_bitwise_the_same(kind: str, tmp_path: Path) -> None:
    first, second = (train(tmp_path, kind, [0, 1])[1].model.state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_rates_are_the_pretrainings_own_and_the_output_layer_is_left_alone(tmp_path: Path) -> None:
    _, untouched = train(tmp_path, "none", [0])
    _, pretrained = train(tmp_path, "autoencoder", [0])
    before, after = untouched.model.state_dict(), pretrained.model.state_dict()
    assert torch.equal(before["output.weight"], after["output.weight"])
    for index in range(3):
        name = f"hidden_layers.{index}.linear.weight"
        assert not torch.equal(before[name], after[name])


def test_validation_images_are_not_seen(tmp_path: Path) -> None:
    """The pretraining of a run that holds images out is that of a data set without them."""
    held_out, _ = train(tmp_path, "rbm", [0], data={"num_validation": 437})
    smaller, _ = train(tmp_path, "rbm", [0], data={"num_train": 1000})
    np.testing.assert_array_equal(held_out.series["reconstruction_loss"], smaller.series["reconstruction_loss"])


def test_layers_learn_in_turn_as_in_a_loop_written_by_hand(tmp_path: Path) -> None:
    """Without corruption nothing is random, so plain torch must find the same curves and the same network.

    Each layer starts again at the first batch, and reads what the trained layers below it put out.
    """
    sections = {"pretraining": {"corruption": 0.0, "steps": 40, "lr": 0.2}, "data": {"scaling": "unit"}}
    record, module = train(tmp_path, "autoencoder", [5], **sections)
    config = ArmConfig.model_validate(record.configuration)
    data = PopulationData(config.data, [5], tmp_path)
    data.setup("fit")
    drawn = MLP(config.model, data.input_shape, data.num_classes, [5]).double()
    below: list[tuple[torch.Tensor, torch.Tensor]] = []
    for index in range(3):
        weight = drawn.state_dict()[f"hidden_layers.{index}.linear.weight"][0].clone().requires_grad_()
        hidden, visible = (torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in weight.shape[::-1])
        curve = []
        for step in range(40):
            v = data.train_dataloader().batch(step)[0][0].flatten(1).double()
            for lower, bias in below:
                v = torch.sigmoid(v @ lower + bias)
            loss = F.binary_cross_entropy(torch.sigmoid(torch.sigmoid(v @ weight + hidden) @ weight.T + visible), v)
            loss = loss * v.shape[1]
            curve.append(loss.item())
            gradients = torch.autograd.grad(loss, (weight, hidden, visible))
            with torch.no_grad():
                for parameter, gradient in zip((weight, hidden, visible), gradients, strict=True):
                    parameter -= 0.2 * gradient
        below.append((weight.detach(), hidden.detach()))
        np.testing.assert_allclose(record.series["reconstruction_loss"][0, index], curve, rtol=1e-10)
        learned = module.model.get_submodule(f"hidden_layers.{index}.linear")
        torch.testing.assert_close(learned.weight[0].detach(), below[-1][0], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(learned.bias[0].detach(), below[-1][1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_what_is_learned_does_not_depend_on_how_the_network_sees_the_images(kind: str, tmp_path: Path) -> None:
    networks, images = [], []
    for scaling in ("standardise", "unit"):
        record, module = train(tmp_path, kind, [0, 1], data={"scaling": scaling})
        data = PopulationData(ArmConfig.model_validate(record.configuration).data, [0, 1], tmp_path)
        data.setup("fit")
        networks.append(module.model)
        images.append(data.train_dataloader().batch(0)[0].double())
    assert not torch.allclose(images[0], images[1])
    assert not torch.allclose(networks[0].hidden_layers[0].linear.weight, networks[1].hidden_layers[0].linear.weight)
    torch.testing.assert_close(networks[0](images[0]), networks[1](images[1]), rtol=1e-5, atol=1e-5)


def test_training_proper_starts_at_the_first_batch_whatever_was_seen_before(tmp_path: Path) -> None:
    """At a rate that changes no weight, the training after it is that of a network that was not pretrained."""
    longer = {"data": {"scaling": "unit"}, "training": {"steps": 20}, "optimiser": {"lr": 0.1}}
    plain, _ = train(tmp_path, "none", [0, 1], **longer)
    pretrained, _ = train(tmp_path, "rbm", [0, 1], lr=1e-30, steps=7, **longer)
    np.testing.assert_array_equal(plain.series["train_loss"], pretrained.series["train_loss"])


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_noise_is_new_at_each_step_of_each_layer_and_never_the_networks_own(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretraining draws 3 layers x 6 steps, then the training proper 3 dropout layers x 6 steps."""
    drawn: list[tuple[int, int]] = []
    uniform = Noise.uniform

    def record(noise: Noise, like: torch.Tensor) -> torch.Tensor:
        drawn.append((int(noise.keys[0]), noise.step))
        return uniform(noise, like)

    monkeypatch.setattr(Noise, "uniform", record)
    train(
        tmp_path,
        kind,
        [0],
        steps=6,
        model={"dropout": 0.1},
        training={"steps": 6, "evaluate": False},
        probes={"every": 0},
    )
    assert len(drawn) == len(set(drawn)) == 36
    assert {step for _, step in drawn} == set(range(6))


@pytest.mark.parametrize(("steps", "points"), [(1, 1), (7, 7), (120, 50)])
def test_curve_has_every_step_or_fifty(steps: int, points: int, tmp_path: Path) -> None:
    record, _ = train(tmp_path, "rbm", [0], steps=steps)
    assert record.series["reconstruction_loss"].shape == (1, 3, points)


@pytest.mark.parametrize("kind", ["rbm", "autoencoder"])
def test_a_replica_that_diverges_touches_no_other(kind: str, tmp_path: Path) -> None:
    config = ArmConfig.model_validate(
        {
            "model": {"depth": 2, "width": 8, "activation": "sigmoid"},
            "data": {"dataset": "digits", "batch_size": 32},
            "pretraining": {"kind": kind, "steps": 5},
        }
    )

    def learn(poisoned: bool) -> tuple[np.ndarray, MLP]:
        data = PopulationData(config.data, [0, 1], tmp_path)
        data.setup("fit")

        def fit(module: pl.LightningModule, _: object, __: str, steps: int) -> None:
            quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
            pl.Trainer(accelerator="cpu", max_steps=steps, enable_model_summary=False, **quiet).fit(
                module, datamodule=data
            )

        model = MLP(config.model, data.input_shape, data.num_classes, [0, 1])
        if poisoned:
            with torch.no_grad():
                model.hidden_layers[0].get_submodule("linear").weight[0] = torch.nan
        return pretrain(model, config, data, [0, 1], fit)["reconstruction_loss"], model

    (losses, healthy), (beside_losses, beside) = learn(False), learn(True)
    assert np.isnan(beside_losses[0]).all()
    np.testing.assert_array_equal(beside_losses[1], losses[1])
    for name, tensor in healthy.state_dict().items():
        assert torch.equal(beside.state_dict()[name][1], tensor[1])
