"""Clipping a replica at a time against torch.nn.utils on as many plain networks as replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.config.network import ModelConfig
from vgtemplate.nn.build import build_model
from vgtemplate.nn.linear import Linear
from vgtemplate.training.clipping import clip_by_norm, clip_by_value

SEEDS = [2, 7, 4]
K, B = 3, 5
SHAPES = {"mlp": (1, 2, 3), "cnn": (1, 5, 4)}
CLIPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], float]] = {
    "norm": (clip_by_norm, nn.utils.clip_grad_norm_, 0.5),
    "value": (clip_by_value, nn.utils.clip_grad_value_, 0.02),
}
RULES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "momentum_decay": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
}


def build(kind: str) -> nn.Module:
    """PReLU, so that a parameter of one number per replica is clipped too."""
    config = ModelConfig.model_validate({"kind": kind, "depth": 3, "width": 4, "num_stages": 1, "activation": "prelu"})
    return build_model(config, SHAPES[kind], K, SEEDS).double()


def plain_networks(kind: str, population: nn.Module) -> list[nn.Module]:
    channels = [SHAPES[kind][0] if kind == "cnn" else 6, 4, 4, 4]
    networks = []
    for replica in range(len(SEEDS)):
        steps: list[nn.Module] = [] if kind == "cnn" else [nn.Flatten()]
        for fan_in, width in pairwise(channels):
            steps += [nn.Conv2d(fan_in, width, 3, padding=1) if kind == "cnn" else nn.Linear(fan_in, width), nn.PReLU()]
        steps += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if kind == "cnn" else []
        network = nn.Sequential(*steps, nn.Linear(4, K)).double()
        with torch.no_grad():
            for ours, theirs in pairs(population, network):
                theirs.copy_(ours[replica])
        networks.append(network)
    return networks


def pairs(population: nn.Module, network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Both list their parameters in the same order; a population's linear weights are (in, out)."""
    linear = {id(module.weight) for module in population.modules() if isinstance(module, Linear)}
    for ours, theirs in zip(population.parameters(), network.parameters(), strict=True):
        yield (ours.mT if id(ours) in linear else ours.view(len(SEEDS), *theirs.shape)), theirs


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("clip", list(CLIPS))
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_clipped_population_trains_like_clipped_plain_networks(kind: str, clip: str, rule: str) -> None:
    """20 steps; replica 1's loss is a hundred times the others', so that one common norm would show."""
    population = build(kind)
    networks = plain_networks(kind, population)
    clip_ours, clip_theirs, threshold = CLIPS[clip]
    scales = [1.0, 100.0, 0.01]
    rules = [RULES[rule](module.parameters()) for module in (population, *networks)]
    num_clipped = 0
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(len(SEEDS), B, *SHAPES[kind], generator=generator, dtype=torch.float64)
        labels = torch.randint(K, (len(SEEDS), B), generator=generator)
        for each in rules:
            each.zero_grad()
        logits = population(x)
        losses = [F.cross_entropy(z, y) * s for z, y, s in zip(logits, labels, scales, strict=True)]
        torch.stack(losses).sum().backward()
        norms = clip_ours(population.parameters(), threshold)
        for replica, network in enumerate(networks):
            (F.cross_entropy(network(x[replica]), labels[replica]) * scales[replica]).backward()
            norm = clip_theirs(network.parameters(), threshold)
            if clip == "norm":
                torch.testing.assert_close(norms[replica], norm, rtol=1e-9, atol=1e-12)
                num_clipped += int(norm > threshold)
        for each in rules:
            each.step()
    for replica, network in enumerate(networks):
        for ours, theirs in pairs(population, network):
            torch.testing.assert_close(ours[replica], theirs, rtol=0, atol=1e-9)
    assert clip == "value" or 20 <= num_clipped < 60, "some replicas are clipped, and some are not"


def parameters(*gradients: list[Any]) -> list[nn.Parameter]:
    made = []
    for gradient in gradients:
        tensor = torch.tensor(gradient, dtype=torch.float64)
        made.append(nn.Parameter(torch.zeros_like(tensor)))
        made[-1].grad = tensor
    return made


def test_norm_runs_over_all_parameters_of_a_replica() -> None:
    both = parameters([[3.0], [0.3]], [[[0.0, 4.0]], [[0.4, 0.0]]])
    norms = clip_by_norm(both, 1.0)
    torch.testing.assert_close(norms, torch.tensor([5.0, 0.5], dtype=torch.float64))
    torch.testing.assert_close(both[0].grad, torch.tensor([[0.6], [0.3]], dtype=torch.float64), rtol=1e-6, atol=0)
    torch.testing.assert_close(both[1].grad[0], torch.tensor([[0.0, 0.8]], dtype=torch.float64), rtol=1e-6, atol=0)
    torch.testing.assert_close(both[1].grad[1], torch.tensor([[0.4, 0.0]], dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_non_finite_gradient_stays_in_its_replica(bad: float) -> None:
    (parameter,) = parameters([[bad, 1.0], [0.1, 0.2]])
    norms = clip_by_norm([parameter], 1.0)
    assert not norms[0].isfinite()
    assert not parameter.grad[0].isfinite().all()
    torch.testing.assert_close(parameter.grad[1], torch.tensor([0.1, 0.2], dtype=torch.float64), rtol=0, atol=0)


def test_value_is_clamped_on_both_sides() -> None:
    (parameter,) = parameters([[-3.0, 0.2], [0.4, -0.5]])
    clip_by_value([parameter], 0.4)
    assert parameter.grad.tolist() == [[-0.4, 0.2], [0.4, -0.4]]


@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
def test_parameter_without_gradient_is_passed_over(clip: Callable[..., Any]) -> None:
    (parameter,) = parameters([[3.0, 4.0]])
    clip([nn.Parameter(torch.zeros(1, 2)), parameter], 1.0)
    assert parameter.grad.max() < 1.001
