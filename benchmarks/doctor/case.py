"""What a case of the zoo is: a training of which the right answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

CODES = (
    "vanishing-depth",
    "exploding-depth",
    "vanishing-time",
    "exploding-time",
    "dead-units",
    "saturated-units",
    "saturated-output",
    "signal-collapse",
    "loss-head-mismatch",
    "disconnected-parameters",
    "stuck-at-zero",
    "graph-grows",
    "not-in-optimizer",
    "unregistered-parameters",
    "frozen-buffers-move",
    "stale-gradients",
    "unscaled-inputs",
    "unscaled-targets",
    "symmetric-initialisation",
    "nan-forward",
    "nan-backward",
    "overflow-forward",
    "precision-overflow",
    "precision-underflow",
    "step-too-large",
    "step-too-small",
    "batchnorm-tiny-batch",
    "oscillation",
)
"""Every fault that the issue names."""

Loss = Callable[[nn.Module, Any], Tensor]
TrainStep = Callable[[nn.Module, Any, Any, int], Tensor]


@dataclass
class Training:
    """A network, its data, its optimiser, and how one step is done.

    Args:
        model: the network; a LightningModule has its own loss and optimisers.
        batches: endless, or as long as the case's steps.
        optimizer: one, or a list of several (a game); None for a LightningModule.
        loss: of the model on a batch, where the loop is the usual one.
        train_step: (model, optimizer, batch, step) -> loss, where it is not.
        score: how bad the network is afterwards, where the loss does not say (its head differs from the cured one's).
        trainer: further keywords of Lightning's Trainer.
    """

    model: nn.Module
    batches: Iterable[Any]
    optimizer: Any = None
    loss: Loss | None = None
    train_step: TrainStep | None = None
    score: Callable[[nn.Module], float] | None = None
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A training with its right answer.

    Args:
        name: unique; its hash decides which half it is in.
        kind: healthy or ill.
        label: the code of the injected fault; "none" if healthy.
        family: of the architecture.
        make: seed -> the training; everything derives from the seed.
        also: codes that are as right as the label, since the fault truly has two names.
        steps: how many steps it runs.
        cured: the same without the fault, if ill: what `check.py` compares with.
        falls: whether a healthy one's loss falls; a game's or a policy's need not.
    """

    name: str
    kind: str
    label: str
    family: str
    make: Callable[[int], Training]
    also: frozenset[str] = frozenset()
    steps: int = 60
    cured: Callable[[int], Training] | None = None
    falls: bool = True


class Batches:
    """Batches of tensors for ever, shuffled anew each time through, the same each time they are asked for."""

    def __init__(self, tensors: tuple[Tensor, ...], size: int, seed: int) -> None:
        self.tensors, self.size, self.seed = tensors, size, seed

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(len(self.tensors[0]), generator=generator)
            for rows in order.split(self.size):
                if len(rows) == self.size:
                    yield tuple(tensor[rows] for tensor in self.tensors)


def optimizer_of(name: str, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """Return one of four optimisers, by its name."""
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": partial(torch.optim.SGD, momentum=0.9),
        "plain": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    return kinds[name]([each for each in parameters if each.requires_grad], lr=rate)


def healthy(name: str, family: str, make: Callable[[int], Training], steps: int = 60, falls: bool = True) -> Case:
    """Return a healthy case."""
    return Case(name, "healthy", "none", family, make, steps=steps, falls=falls)


def _from_seed(seed: int, build: Callable[..., Training], **settings: Any) -> Training:
    torch.manual_seed(seed)
    return build(seed, **settings)


def ill(
    name: str, label: str, family: str, build: Callable[..., Training], steps: int = 60, also: str = "", **settings: Any
) -> Case:
    """Return an ill case of `build(seed, ill=True, **settings)`; with ill=False it is the cured one."""
    sick = partial(_from_seed, build=build, ill=True, **settings)
    cured = partial(_from_seed, build=build, ill=False, **settings)
    return Case(f"{label}--{name}", "ill", label, family, sick, frozenset(also.split()), steps, cured)


def seeded(build: Callable[..., Training]) -> Callable[..., Training]:
    """Make torch's generator start from the seed, so that weights and dropout derive from it."""

    def make(seed: int, **settings: Any) -> Training:
        torch.manual_seed(seed)
        return build(seed, **settings)

    return make


def steps_of(training: Training, steps: int) -> Iterator[Tensor]:
    """Train step by step in plain torch; yield each step's loss. Not for a LightningModule."""
    model = training.model.train()
    for step, batch in zip(range(steps), training.batches, strict=False):
        if training.train_step:
            yield training.train_step(model, training.optimizer, batch, step)
            continue
        assert training.loss is not None
        training.optimizer.zero_grad()
        value = training.loss(model, batch)
        value.backward()
        training.optimizer.step()
        yield value


def usual(
    net: Callable[[], nn.Module],
    data: Callable[[int], Iterable[Any]],
    loss: Loss,
    optimizer: str = "adam",
    rate: float = 1e-3,
) -> Callable[[int], Training]:
    """Return the maker of a training by the usual loop: weights, data and order of batches from the seed."""

    def make(seed: int) -> Training:
        torch.manual_seed(seed)
        model = net()
        return Training(model, data(seed), optimizer_of(optimizer, model.parameters(), rate), loss)

    return make


def grid(
    name: str,
    family: str,
    net: Callable[[], nn.Module],
    data: Callable[[int], Iterable[Any]],
    loss: Loss,
    rates: dict[str, float],
    steps: int = 60,
) -> list[Case]:
    """Return one healthy case per optimiser and rate."""
    return [
        healthy(f"{name}-{each}", family, usual(net, data, loss, each, rate), steps) for each, rate in rates.items()
    ]


def training(
    model: nn.Module, batches: Iterable[Any], loss: Loss, optimizer: str, rate: float, score: Any = None
) -> Training:
    """Return a training by the usual loop."""
    return Training(model, batches, optimizer_of(optimizer, model.parameters(), rate), loss, score=score)
