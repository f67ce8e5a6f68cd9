"""Layer-by-layer pretraining: what it leaves in the network, and that replicas stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vgtemplate.config.schema import ArmConfig, InitialiserConfig
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.records import Record
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.pretraining import fold, pixel_map
from vgtemplate.training.run import Hardware, train_arm


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
        settings[name] = settings[name] | section
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
    fold(linear, *pixel_map(info, "standardise", 4))
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
        assert not torch.equal(before[f"hidden_layers.{index}.linear.weight"], after[f"hidden_layers.{index}.linear.weight"])


def test_validation_images_are_not_seen(tmp_path: Path) -> None:
    """The pretraining of a run that holds images out is that of a data set without them."""
    held_out, _ = train(tmp_path, "rbm", [0], data={"num_validation": 437})
    smaller, _ = train(tmp_path, "rbm", [0], data={"num_train": 1000})
    np.testing.assert_array_equal(held_out.series["reconstruction_loss"], smaller.series["reconstruction_loss"])
