"""What the fifth zoo's ill shelves share: a way to keep a case, losses, data and optimisers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill, optimizer_of
from benchmarks.doctor.fourth.parts import bce as bce
from benchmarks.doctor.fourth.parts import mse as mse

Build = TypeVar("Build", bound=Callable[..., Training])


def keep(
    cases: list[Case], name: str, label: str, family: str, steps: int = 60, also: str = "", prefix: str = ""
) -> Callable[[Build], Build]:
    """Decorate a builder: it becomes a case of the list."""

    def kept(build: Build) -> Build:
        cases.append(ill(prefix + name, label, family, build, steps, also))
        return build

    return kept


def fit(
    net: nn.Module, batches: Any, loss: Any, optimizer: str = "adam", rate: float = 1e-3, score: Any = None
) -> Training:
    """Return a training by the usual loop."""
    return Training(net, batches, optimizer_of(optimizer, net.parameters(), rate), loss, score=score)


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(50_000 + seed)


def rows(seed: int, *tensors: Tensor, size: int = 64) -> Batches:
    """Return endless batches of rows of tensors."""
    return Batches(tensors, size, seed)


def ce(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits, (..., classes)."""
    return F.cross_entropy(model(*batch[:-1]).flatten(0, -2), batch[-1].flatten())


def copies(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error of the model's copy of its input."""
    return F.mse_loss(model(batch[0]), batch[0])


def mlp(*widths: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return linear layers with an activation between."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


def missed(batches: Any, sign: bool = False) -> Callable[[nn.Module], float]:
    """Return a score: the share of a batch that is told wrongly."""
    batch = next(iter(batches))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            out = model(*batch[:-1])
            return float(((out > 0).float() if sign else out.argmax(-1)).ne(batch[-1]).float().mean())

    return score


def unexplained(batches: Any, scale: Any = 1.0, shift: Any = 0.0) -> Callable[[nn.Module], float]:
    """Return a score: the share of the targets' variance that is left, by column; outputs are put into their unit."""
    batch = next(iter(batches))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            out = model(*batch[:-1]) * scale + shift
            return float(((out - batch[-1]).square().mean(0) / batch[-1].var(0)).mean())

    return score
