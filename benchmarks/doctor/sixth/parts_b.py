"""What the second half of the sixth zoo's ill shelves share: a way to keep a case, data, losses and scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.doctor.case import Batches
from benchmarks.doctor.fifth.healthy_parts import ce as ce
from benchmarks.doctor.fifth.ill_parts import fit as fit
from benchmarks.doctor.fifth.ill_parts import missed as missed
from benchmarks.doctor.fifth.ill_parts import mlp as mlp
from benchmarks.doctor.fifth.ill_parts import rows as rows
from benchmarks.doctor.fifth.ill_parts import unexplained as unexplained
from benchmarks.doctor.fourth.parts import mse as mse
from benchmarks.doctor.sixth.parts_a import dice as dice
from benchmarks.doctor.sixth.parts_a import keep as keep


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
