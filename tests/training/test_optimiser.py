"""The configuration's optimiser on a population against torch.optim on as many separate networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vgtemplate.config.schema import OptimiserConfig
from vgtemplate.training.optimiser import build_optimiser

R = 3
Rule = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
RULES: dict[str, tuple[dict[str, Any], Rule]] = {
    "sgd": ({"lr": 0.3}, lambda p: torch.optim.SGD(p, lr=0.3)),
    "momentum": ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "sgd with decay": ({"weight_decay": 0.2}, lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2)),
    "adam": ({"name": "adam", "lr": 0.01}, lambda p: torch.optim.Adam(p, lr=0.01)),
    "adam with decay": (
        {"name": "adam", "weight_decay": 0.2},
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.2),
    ),
    "adamw": ({"name": "adamw", "weight_decay": 0.2}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2)),
    "adamw without decay": ({"name": "adamw"}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.0)),
    "at rest": ({"lr": 0.0}, lambda p: torch.optim.SGD(p, lr=0.0)),
}


def losses(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """One number a replica, neither linear nor quadratic in the parameters."""
    return (torch.tanh(x @ weight + bias) ** 4).flatten(1).sum(dim=1)


@pytest.mark.parametrize(("settings", "rule"), RULES.values(), ids=RULES)
def test_every_replica_goes_where_a_separate_optimiser_takes_it(settings: dict[str, Any], rule: Rule) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(R, *shape, dtype=torch.float64, generator=generator) for shape in ((4, 3), (1, 3))]
    batches = torch.randn(6, R, 5, 4, dtype=torch.float64, generator=generator)

    population = [nn.Parameter(tensor.clone()) for tensor in start]
    together = build_optimiser(OptimiserConfig.model_validate(settings), population)
    separate = [[nn.Parameter(tensor[r : r + 1].clone()) for tensor in start] for r in range(R)]
    alone = [rule(parameters) for parameters in separate]

    for x in batches:
        together.zero_grad()
        losses(*population, x).sum().backward()
        together.step()
        for r, (parameters, optimiser) in enumerate(zip(separate, alone, strict=True)):
            optimiser.zero_grad()
            losses(*parameters, x[r : r + 1]).sum().backward()
            optimiser.step()

    for index, tensor in enumerate(population):
        expected = torch.cat([parameters[index] for parameters in separate])
        torch.testing.assert_close(tensor, expected, rtol=1e-11, atol=1e-14)
        assert torch.equal(tensor, start[index]) == (settings.get("lr") == 0)


def test_replica_of_nans_does_not_touch_its_neighbours() -> None:
    for settings, _ in RULES.values():
        weight = nn.Parameter(torch.ones(R, 4))
        optimiser = build_optimiser(OptimiserConfig.model_validate(settings), [weight])
        for _ in range(2):
            weight.grad = torch.ones(R, 4)
            weight.grad[1] = float("nan")
            optimiser.step()
        assert weight[1].isnan().all() or settings.get("lr") == 0
        assert weight[[0, 2]].isfinite().all()
        assert torch.equal(weight[0], weight[2])


def test_other_settings_are_torchs_defaults() -> None:
    parameters = [nn.Parameter(torch.ones(1))]
    for name, rule in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        ours = build_optimiser(OptimiserConfig.model_validate({"name": name}), parameters)
        assert type(ours) is rule
        torchs = rule(parameters).defaults
        for key in ours.defaults.keys() - {"lr", "weight_decay", "foreach"}:
            assert ours.defaults[key] == torchs[key], key
