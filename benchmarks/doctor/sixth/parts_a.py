"""What the sixth zoo's ill shelves about signals, heads and steps share."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.doctor.fifth import ill_parts as fifth
from benchmarks.doctor.fifth.ill_parts import bce as bce
from benchmarks.doctor.fifth.ill_parts import ce as ce
from benchmarks.doctor.fifth.ill_parts import copies as copies
from benchmarks.doctor.fifth.ill_parts import fit as fit
from benchmarks.doctor.fifth.ill_parts import missed as missed
from benchmarks.doctor.fifth.ill_parts import mlp as mlp
from benchmarks.doctor.fifth.ill_parts import mse as mse
from benchmarks.doctor.fifth.ill_parts import rows as rows
from benchmarks.doctor.fifth.ill_parts import unexplained as unexplained
from benchmarks.doctor.fourth.parts import mae as mae

keep = partial(fifth.keep, prefix="sixth-")


def dice(seed: int) -> torch.Generator:
    """Return a generator of its own for the data."""
    return torch.Generator().manual_seed(60_000 + seed)


def stripes(seed: int, count: int = 512, side: int = 16) -> tuple[Tensor, Tensor]:
    """Return noisy pictures (N, 1, side, side) of stripes in one of four directions, and the direction."""
    g = dice(seed)
    y = torch.randint(0, 4, (count,), generator=g)
    phase = 6.28 * torch.rand(count, 1, 1, generator=g)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angle = (y * 0.7854)[:, None, None]
    waves = torch.sin(0.9 * (row * angle.cos() + column * angle.sin()) + phase)
    return (1.3 * waves + 0.4 * torch.randn(count, side, side, generator=g))[:, None], y


def signals(seed: int, count: int = 640, inputs: int = 10, outputs: int = 3) -> tuple[Tensor, Tensor]:
    """Return a regression: normal inputs (N, inputs), standardised targets (N, outputs), smooth and not linear."""
    g = dice(seed)
    x = torch.randn(count, inputs, generator=g)
    h = torch.sin(x @ torch.randn(inputs, 8, generator=g) / inputs**0.5)
    y = h @ torch.randn(8, outputs, generator=g)
    return x, (y - y.mean(0)) / y.std(0)


def clouds(seed: int, count: int = 512, points: int = 24) -> tuple[Tensor, Tensor]:
    """Return clouds of points (N, points, 3), long, flat or round, turned at random, and which they are."""
    g = dice(seed)
    y = torch.randint(0, 3, (count,), generator=g)
    axes = torch.tensor([[1.6, 0.3, 0.3], [1.2, 1.2, 0.2], [0.9, 0.9, 0.9]])[y]
    turn = torch.linalg.qr(torch.randn(count, 3, 3, generator=g))[0]
    return (torch.randn(count, points, 3, generator=g) * axes[:, None]) @ turn, y
