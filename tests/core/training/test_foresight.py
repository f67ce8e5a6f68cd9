"""What a population takes is foreseen from its configuration, and refused before anything is allocated."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from vgtemplate.config.errors import UserError
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.training.foresight import count_parameters, count_units, needed_bytes
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

NETWORKS = [
    {"depth": 3, "width": 5},
    {"depth": 4, "width": [3, 7], "bias": "none"},
    {"kind": "cnn", "depth": 5, "width": 4},
    {"kind": "cnn", "depth": 3, "width": 4, "output": "image"},
    {"kind": "resnet", "depth": 8, "width": 4},
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_counts_are_those_of_the_network(network: dict[str, Any]) -> None:
    config = ModelConfig.model_validate(network)
    shape, seeds = (2, 9, 9), (0, 1, 2)
    model = build_model(config, shape, 10, seeds)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == len(seeds) * count_parameters(config, shape, 10)
    seen = [torch.Size(shape).numel()]
    for layer in model.get_submodule("hidden_layers").children():
        layer.get_submodule("linear").register_forward_hook(lambda _, __, output: seen.append(output[0, 0].numel()))
    model(torch.zeros(len(seeds), 1, *shape))
    assert sum(seen) == count_units(config, shape)


@pytest.mark.parametrize(("optimiser", "copies"), [("sgd", 2), ("adam", 4), ("adamw", 4)])
def test_optimiser_keeps_its_state(optimiser: str, copies: int) -> None:
    config = ArmConfig.model_validate({"model": {"depth": 1, "width": 10}, "optimiser": {"name": optimiser}})
    # 8 x 10 weights, 10 biases, 10 x 3 weights, 3 biases; 8 inputs and 10 units per image, a batch of 2, five networks.
    assert needed_bytes(config, (8,), 3, 5, 2) == 5 * 4 * (123 * copies + 18 * 2)


def test_network_beyond_all_memory_is_refused_with_numbers(tmp_path: Path) -> None:
    model = {"depth": 10_000, "width": 65_536}
    config = ArmConfig.model_validate({"model": model, "data": {"dataset": "digits"}, "training": {"steps": 1}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"2 networks of 42,9\d\d,[\d,]{11} parameters takes at least .* GB are free"):
        train_arm("arm", config, [0, 1], tmp_path, Hardware("cpu"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


def test_more_seeds_than_fit_are_refused(tmp_path: Path) -> None:
    settings = {"model": {"depth": 20, "width": 4096}, "data": {"dataset": "digits"}, "training": {"steps": 1}}
    with pytest.raises(UserError, match=r"10,000 networks of .* fewer --seeds"):
        train_arm("arm", ArmConfig.model_validate(settings), range(10_000), tmp_path, Hardware("cpu"))
