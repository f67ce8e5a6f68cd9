"""The configuration's optimiser on a population against torch.optim on as many separate networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vgtemplate.config.schema import ArmConfig, OptimiserConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.build import build_model
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.optimiser import build_optimiser, build_schedule
from vgtemplate.training.trainer import Hardware, build_trainer

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


def walk(optimiser: torch.optim.Optimizer, scheduler: Any, num_steps: int) -> list[float]:
    """Return the learning rate of each step of a run, as torch's optimiser has it."""
    found = []
    for _ in range(num_steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def rates(num_steps: int, **settings: Any) -> list[float]:
    config = OptimiserConfig(lr=0.4, **settings)
    optimiser = build_optimiser(config, [nn.Parameter(torch.zeros(1))])
    return walk(optimiser, build_schedule(config, optimiser, num_steps), num_steps)


def torchs_rates(num_steps: int, build: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    return walk(optimiser, build(optimiser), num_steps)


def test_step_schedule_is_he_et_als() -> None:
    """Of 64k iterations the rate is divided by 10 at 32k and 48k; here of 64."""
    milestones = torchs_rates(64, lambda optimiser: torch.optim.lr_scheduler.MultiStepLR(optimiser, [32, 48]))
    assert rates(64, schedule="step") == pytest.approx(milestones)


@pytest.mark.parametrize("num_steps", [1, 7, 50])
def test_cosine_schedule_is_torchs(num_steps: int) -> None:
    cosine = torchs_rates(
        num_steps, lambda optimiser: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=num_steps)
    )
    assert rates(num_steps, schedule="cosine") == pytest.approx(cosine)


def test_warm_up_rises_in_proportion_to_the_steps() -> None:
    assert rates(6, warm_up=4) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    flat, warm = rates(40, schedule="cosine"), rates(40, schedule="cosine", warm_up=4)
    assert warm == pytest.approx([rate * min(1, (step + 1) / 4) for step, rate in enumerate(flat)])


@pytest.mark.parametrize("length", [{"steps": 8}, {"epochs": 2}])
def test_a_run_is_trained_with_the_rates_of_its_whole_length(length: dict[str, int], tmp_path: Path) -> None:
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    config = ArmConfig.model_validate(
        {
            "data": {"dataset": "synthetic", "num_train": 128, "batch_size": 32},
            "optimiser": {"lr": 0.4, "schedule": "step", "warm_up": 2},
            "training": length,
        }
    )
    data = PopulationData(config.data, [0, 1], tmp_path)
    data.setup()
    module = PopulationModule(build_model(config.model, data.input_shape, data.num_classes, [0, 1]), config, 2)
    build_trainer(config, Hardware("cpu"), [Watch()]).fit(module, datamodule=data)
    assert seen == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004])
