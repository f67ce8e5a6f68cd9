"""What is reported beside the loss: each replica's accuracy, r2, mean absolute error, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vgtemplate.config.own import is_own
from vgtemplate.config.schema import TrainingConfig
from vgtemplate.training.losses import alike, classes_last, each_replica


def _as_it_is(means: Tensor) -> Tensor:
    return means


@dataclass(frozen=True)
class Score:
    """A score of each replica, taken over any number of batches.

    `means` gives a batch's (R, ...) of outputs and targets (R, B, ...); `conclude` turns their mean over the batches,
    weighted by size, into the score, (R,). `name` is that of its series; "": there is no score.
    """

    name: str
    means: Callable[[Any, Tensor], Tensor]
    conclude: Callable[[Tensor], Tensor] = _as_it_is


def replica_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each replica's share of labels that are found, (R,); non-finite logits count as wrong, -100 not at all."""
    logits = classes_last(logits, labels)
    finite = logits.isfinite().all(dim=-1)
    right = ((logits.argmax(dim=-1) == labels) & finite).float()
    if labels.dim() == 2:
        return right.mean(dim=1)
    return right.flatten(1).sum(dim=1) / (labels != -100).flatten(1).sum(dim=1)


def _absolute_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    outputs, targets = alike(outputs, targets)
    return (outputs - targets).abs().flatten(1).mean(dim=1)


def _moments(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, and mean and mean square of the targets, of each output D: (R, 3, D)."""
    outputs, targets = (part.double().unsqueeze(-1).flatten(2) for part in alike(outputs, targets))
    parts = ((outputs - targets).square(), targets, targets.square())
    return torch.stack([part.mean(dim=1) for part in parts], dim=1)


def _r2(moments: Tensor) -> Tensor:
    """Return the share of the targets' variance that is explained, the mean over the outputs, (R,)."""
    errors, means, squares = moments.unbind(dim=1)
    return (1 - errors / (squares - means.square())).mean(dim=1)


def _nothing(_: Any, targets: Tensor) -> Tensor:
    return torch.full((len(targets),), torch.nan, device=targets.device)


def build_score(config: TrainingConfig) -> Score:
    """Return the score of a configuration.

    Raises:
        UserError: a function of one's own cannot be found.
    """
    name = config.score_name
    if is_own(config.score):
        return Score("score", each_replica(config.score, "training.score"))
    return {
        "accuracy": Score("accuracy", replica_accuracies),
        "r2": Score("score", _moments, _r2),
        "mean_absolute_error": Score("score", _absolute_errors),
        "": Score("", _nothing),
    }[name]
