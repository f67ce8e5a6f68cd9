"""What the fourth zoo's shelves share: recipes, optimisers, loops and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Loss, Training, healthy, seeded

WAYS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "plain": torch.optim.SGD,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": torch.optim.Adam,
    "adam-half": partial(torch.optim.Adam, betas=(0.5, 0.999)),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.01),
    "adam-l2": partial(torch.optim.Adam, weight_decay=5e-4),
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "adafactor": torch.optim.Adafactor,
    "amsgrad": partial(torch.optim.Adam, amsgrad=True),
}


class Recipe(NamedTuple):
    """A training that is well: network, data, loss, optimiser and rate."""

    family: str
    net: Callable[[], nn.Module]
    data: Callable[[int], Iterable[Any]]
    loss: Loss
    way: str
    rate: float


def optimiser(way: str, parameters: Iterable[Any], rate: float) -> torch.optim.Optimizer:
    """Return an optimiser of those of the parameters that learn."""
    return WAYS[way]([p for p in parameters if p.requires_grad], lr=rate)


def cook(recipe: Recipe, seed: int, **other: Any) -> Training:
    """Return a recipe's training; `other` replaces parts of it, or adds a score, a step, or an optimiser of the net."""
    extra = {key: other.pop(key) for key in ("score", "train_step") if key in other}
    chosen = other.pop("optimizer", None)
    recipe = recipe._replace(**other)
    net = recipe.net()
    optimizer = chosen(net) if chosen else optimiser(recipe.way, net.parameters(), recipe.rate)
    loss = None if "train_step" in extra else recipe.loss
    return Training(net, recipe.data(seed), optimizer, loss, **extra)


def well(name: str, recipe: Recipe, steps: int = 60, falls: bool = True, **other: Any) -> Case:
    """Return a healthy case of a recipe."""

    def make(seed: int) -> Training:
        return cook(recipe, seed, **other)

    return healthy(name, recipe.family, seeded(make), steps, falls)


def script(
    name: str, family: str, make: Callable[..., Training], steps: int = 60, falls: bool = True, **set_: Any
) -> Case:
    """Return a healthy case with a loop of its own."""
    return healthy(name, family, seeded(partial(make, **set_)), steps, falls)


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(40_000 + seed)


def standard(x: Tensor) -> Tensor:
    """Return a tensor of mean 0 and variance 1."""
    return (x - x.mean()) / x.std()


def ce(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits; the last of the batch is the class."""
    return F.cross_entropy(model(*batch[:-1]), batch[-1])


def tokens_ce(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy per token."""
    return F.cross_entropy(model(*batch[:-1]).flatten(0, 1), batch[-1].flatten())


def mse(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(model(*batch[:-1]), batch[-1])


def mae(model: nn.Module, batch: Any) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(model(*batch[:-1]), batch[-1])


def bce(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy of logits."""
    return F.binary_cross_entropy_with_logits(model(*batch[:-1]), batch[-1])


def own(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss."""
    value: Tensor = model(*batch)
    return value


def error(data: Iterable[Any], sign: bool = False) -> Callable[[nn.Module], float]:
    """Return a score: the share of one batch whose largest output, or whose sign, is wrong."""
    batch = next(iter(data))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            out = model(*batch[:-1])
            return float(((out > 0).float() if sign else out.argmax(-1)).ne(batch[-1]).float().mean())

    return score


def unexplained(
    data: Iterable[Any], undo: Callable[[Tensor], Tensor] = lambda out: out
) -> Callable[[nn.Module], float]:
    """Return a score: the share of the targets' variance that is left; `undo` puts outputs into the targets' unit."""
    batch = next(iter(data))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            out = undo(model(*batch[:-1])).reshape(batch[-1].shape)
            return float((out - batch[-1]).square().mean() / batch[-1].var())

    return score
