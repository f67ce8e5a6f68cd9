"""What the second half of the sixth zoo's ill shelves share: a way to keep a case, data, losses and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.fifth.ill_parts import fit as fit
from benchmarks.doctor.fifth.ill_parts import missed as missed
from benchmarks.doctor.fifth.ill_parts import mlp as mlp
from benchmarks.doctor.fifth.ill_parts import rows as rows
from benchmarks.doctor.fifth.ill_parts import unexplained as unexplained

Build = TypeVar("Build", bound=Callable[..., Training])


def keep(
    cases: list[Case], name: str, label: str, family: str, steps: int = 60, also: str = ""
) -> Callable[[Build], Build]:
    """Decorate a builder: it becomes a case of the list."""

    def kept(build: Build) -> Build:
        cases.append(ill(f"sixth-{name}", label, family, build, steps, also))
        return build

    return kept


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(60_000 + seed)


def told(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of (B, classes) with the last of the batch."""
    return F.cross_entropy(model(*batch[:-1]), batch[-1])


def squared(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error, with equal shapes."""
    return F.mse_loss(model(*batch[:-1]), batch[-1])


def down(optimizer: Any, loss: Tensor, **settings: Any) -> Tensor:
    """Do the three lines of every loop."""
    optimizer.zero_grad()
    loss.backward(**settings)
    optimizer.step()
    return loss


def blobs(seed: int, size: int = 32, inputs: int = 10, classes: int = 4, spread: float = 0.8) -> Batches:
    """Return a classification of (B, inputs): each class is a cloud around a point."""
    g = dice(seed)
    centres = torch.randn(classes, inputs, generator=g)
    y = torch.randint(0, classes, (768,), generator=g)
    return Batches((centres[y] + spread * torch.randn(768, inputs, generator=g), y), size, seed)


def tones(seed: int, size: int = 32, length: int = 64) -> Batches:
    """Return noisy signals (B, 1, length) of one of four pitches, with the pitch."""
    g = dice(seed)
    y = torch.randint(0, 4, (512,), generator=g)
    phase = 6.28 * torch.rand(512, 1, generator=g)
    x = torch.sin((0.25 + 0.3 * y[:, None]) * torch.arange(length) + phase)
    return Batches(((x + 0.3 * torch.randn(512, length, generator=g))[:, None], y), size, seed)
