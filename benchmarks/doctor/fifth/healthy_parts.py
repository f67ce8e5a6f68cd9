"""What the fifth zoo's healthy trainings share: names, optimisers, loops and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor.case import Batches, Case, Loss, Training, healthy, seeded
from benchmarks.doctor.fourth.parts import bce as bce
from benchmarks.doctor.fourth.parts import mae as mae
from benchmarks.doctor.fourth.parts import mse as mse

WAYS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "plain": torch.optim.SGD,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "sgd-decay": partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
    "adam-half": partial(torch.optim.Adam, betas=(0.5, 0.999)),
    "adam-l2": partial(torch.optim.Adam, weight_decay=1e-4),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.05),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adafactor": torch.optim.Adafactor,
    "rprop": torch.optim.Rprop,
}


def by(way: str, parameters: Iterable[Any], rate: float, **settings: Any) -> torch.optim.Optimizer:
    """Return an optimiser of those of the parameters that learn."""
    return WAYS[way]([p for p in parameters if p.requires_grad], lr=rate, **settings)


def named(
    name: str, family: str, make: Callable[..., Training], steps: int = 60, falls: bool = True, **settings: Any
) -> Case:
    """Return a healthy case with a maker of its own."""
    return healthy(f"f5-{name}", family, seeded(partial(make, **settings)), steps, falls)


def plain(
    name: str,
    family: str,
    net: Callable[[], nn.Module],
    data: Callable[[int], Iterable[Any]],
    loss: Loss,
    way: str = "adam",
    rate: float = 1e-3,
    steps: int = 60,
    falls: bool = True,
) -> Case:
    """Return a healthy case of the usual loop."""

    def make(seed: int) -> Training:
        model = net()
        return Training(model, data(seed), by(way, model.parameters(), rate), loss)

    return named(name, family, make, steps, falls)


def down(optimizer: Any, loss: Tensor) -> Tensor:
    """Do the three lines of every loop."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def loader(batches: Batches, seed: int, size: int = 32) -> DataLoader[Any]:
    """Return the same tensors as an ordinary loader."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*batches.tensors), size, shuffle=True, generator=order, drop_last=True)


def follow(slow: nn.Module, fast: nn.Module, keep: float) -> None:
    """Let the slow copy's weights follow the fast one's."""
    with torch.no_grad():
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            old.mul_(keep).add_((1 - keep) * new)


def dense(inputs: int, outputs: int, width: int = 64, act: Any = nn.ReLU, depth: int = 2) -> nn.Sequential:
    """Return a multilayer perceptron."""
    layers: list[nn.Module] = []
    for size in [inputs, *[width] * (depth - 1)]:
        layers += [nn.Linear(size, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def ce(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits with the last of the batch."""
    return F.cross_entropy(model(*batch[:-1]), batch[-1])


def per_token(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy per token; zeros in the targets are padding."""
    return F.cross_entropy(model(*batch[:-1]).flatten(0, 1), batch[-1].flatten(), ignore_index=0)


def following(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of the next token."""
    x = batch[0]
    return F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())


def own(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss."""
    value: Tensor = model(*batch)
    return value
