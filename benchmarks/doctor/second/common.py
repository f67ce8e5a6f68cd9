"""What the second zoo's shelves share: more optimisers, the usual training, and losses that the first zoo lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Loss, Training, TrainStep, healthy, seeded

WAYS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "plain": torch.optim.SGD,
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "decayed": partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4),
    "adam": torch.optim.Adam,
    "amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.05),
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.5),
    "asgd": torch.optim.ASGD,
}


def by(way: str, rate: float, parameters: Iterable[Any], **settings: Any) -> torch.optim.Optimizer:
    """Return an optimiser of those of the parameters that learn."""
    return WAYS[way]([each for each in parameters if each.requires_grad], lr=rate, **settings)


def fit(seed: int, net: Any, make: Any, loss: Loss, way: str, rate: float) -> Training:
    """Return a training by the usual loop."""
    model = net()
    return Training(model, make(seed), by(way, rate, model.parameters()), loss)


def each(
    name: str, family: str, net: Any, make: Any, loss: Loss, rates: dict[str, float], steps: int = 60
) -> list[Case]:
    """Return one healthy case per optimiser and rate."""
    return [
        healthy(f"{name}-{way}", family, seeded(partial(fit, net=net, make=make, loss=loss, way=way, rate=rate)), steps)
        for way, rate in rates.items()
    ]


def looped(
    model: nn.Module, batches: Iterable[Any], step: TrainStep, way: str = "adam", rate: float = 3e-3, score: Any = None
) -> Training:
    """Return a training by a loop of its own."""
    return Training(model, batches, by(way, rate, model.parameters()), train_step=step, score=score)


def classify(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits, in whatever shape; the last of the batch is the class."""
    return F.cross_entropy(model(*batch[:-1]).flatten(0, -2), batch[-1].flatten())


def yes_or_no(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross entropy of logits, one or several."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def squared(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(model(*batch[:-1]), batch[-1])


def next_one(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of each next token."""
    return F.cross_entropy(model(batch[0][:, :-1]).flatten(0, 1), batch[0][:, 1:].flatten())


def listened(model: nn.Module, batch: Any) -> Tensor:
    """Connectionist temporal classification."""
    x, y = batch
    times, lengths = torch.full((len(x),), x.shape[1]), torch.full((len(y),), y.shape[1])
    return F.ctc_loss(model(x).transpose(0, 1), y, times, lengths)


def rebuilt(model: nn.Module, batch: Any) -> Tensor:
    """Squared error of what is rebuilt."""
    return F.mse_loss(model(batch[0]), batch[0])


def wrong_share(batches: Iterable[Any]) -> Callable[[nn.Module], float]:
    """Return a score: the share of the first batch that the largest output gets wrong."""
    batch = next(iter(batches))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(*batch[:-1]).argmax(-1) != batch[-1]).float().mean())

    return score


def left_over(batches: Iterable[Any], undo: Callable[[Tensor], Tensor] = lambda out: out) -> Any:
    """Return a score: the share of the targets' variance that is left; `undo` gives outputs the targets' unit."""
    batch = next(iter(batches))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float((undo(model(batch[0])).reshape_as(batch[1]) - batch[1]).square().mean() / batch[1].var())

    return score
