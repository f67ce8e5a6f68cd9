"""A network without one of its layers, against plain networks that were built without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.removal import scores_without_layers

R, B, K, WIDTH, DEPTH = 2, 40, 3, 6, 4


def population(**model: Any) -> PopulationModule:
    settings = {"depth": DEPTH, "width": WIDTH, "activation": "tanh", "bias": "normal", **model}
    config = ArmConfig.model_validate({"model": settings})
    module = PopulationModule(build_model(config.model, (1, 2, 4), K, [3, 8]).double(), config, R)
    if config.built_in is not None and config.built_in.norm == "batch":
        with torch.no_grad():  # running statistics as a training would leave them
            for _ in range(20):
                module(batches()[0][0])
    return module


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [
        (
            torch.randn(R, B, 1, 2, 4, generator=generator, dtype=torch.float64),
            torch.randint(0, K, (R, B), generator=generator),
        )
        for _ in range(2)
    ]


def accuracy_by_hand(module: PopulationModule, r: int, removed: int) -> float:
    """Apply the layers that are left of replica r by plain matrix products, in evaluation."""
    correct = 0
    for images, labels in batches():
        x = images[r].flatten(1)
        for index, hidden in enumerate(module.model.hidden_layers):
            if index == removed:
                continue
            h = x @ hidden.linear.weight[r] + hidden.linear.bias[r]
            if isinstance(norm := hidden.norm_before, nn.Module):
                h = (h - norm.running_mean[r]) / (norm.running_var[r] + 1e-5).sqrt() * norm.weight[r] + norm.bias[r]
            x = torch.tanh(h) + (x if module.config.model.residual and index > 0 else 0)
        logits = x @ module.model.output.weight[r] + module.model.output.bias[r]
        correct += int((logits.argmax(dim=1) == labels[r]).sum())
    return correct / (2 * B)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_accuracy_is_that_of_the_network_without_the_layer(residual: bool, norm: str) -> None:
    module = population(residual=residual, norm=norm)
    found = scores_without_layers(module, batches())
    assert found.shape == (R, DEPTH)
    assert found[:, 0].isnan().all()
    expected = [[accuracy_by_hand(module, r, removed) for removed in range(1, DEPTH)] for r in range(R)]
    torch.testing.assert_close(found[:, 1:], torch.tensor(expected, dtype=torch.float64))
    assert len(found[:, 1:].unique()) > 2


def test_network_is_as_before() -> None:
    module = population(norm="batch", residual=True)
    before, score = {name: each.clone() for name, each in module.state_dict().items()}, module.score_over(batches())
    scores_without_layers(module, batches())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(module.score_over(batches()), score)
    assert module.training
