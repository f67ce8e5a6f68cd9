"""Ill in their links: parameters that no gradient reaches, or that rest at zero."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, moons, progressions
from benchmarks.doctor.fifth.ill_parts import bce, ce, dice, fit, keep, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "angle-by-torch-tensor", "disconnected-parameters", "geometry")
def angle(seed: int, ill: bool) -> Training:
    """discuss.pytorch.org/t/23261: a learned angle never turns.

    The rotation is made by torch.tensor([[cos, -sin], ...]) of scalars, which takes their values only.
    """

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.angle = nn.Parameter(torch.zeros(()))
            self.shift = nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> Any:
            c, s = self.angle.cos(), self.angle.sin()
            turn = torch.tensor([[c, s], [-s, c]]) if ill else torch.stack([c, s, -s, c]).view(2, 2)
            return x @ turn + self.shift

    x = torch.randn(512, 2, generator=dice(seed))
    y = x @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]]) + 0.5
    return fit(Turned(), rows(seed, x, y), mse, rate=0.03)


@keep(CASES, "fake-detached-for-generator", "disconnected-parameters", "generative")
def detached_fake(seed: int, ill: bool) -> Training:
    """github.com/nikhilsinghmus/image2reverb/issues/37: the generator's loss too is of D(fake.detach()).

    Symptom: the critic is ahead from the start, samples stay noise.
    """
    net = nn.ModuleDict({"g": mlp(4, 32, 2), "d": mlp(2, 32, 1, act=lambda: nn.LeakyReLU(0.2))})
    opt_g, opt_d = (torch.optim.Adam(net[k].parameters(), 2e-3, betas=(0.5, 0.999)) for k in "gd")

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        real, fake = batch[0], m["g"](torch.randn(len(batch[0]), 4))
        opts[1].zero_grad()
        loss_d = F.softplus(-m["d"](real)).mean() + F.softplus(m["d"](fake.detach())).mean()
        loss_d.backward()
        opts[1].step()
        opts[0].zero_grad()
        loss_g = F.softplus(-m["d"](fake.detach() if ill else fake)).mean()
        loss_g.backward()
        opts[0].step()
        return loss_d + loss_g

    return Training(net, moons(seed), [opt_g, opt_d], train_step=step)


@keep(CASES, "cached-position-bias", "disconnected-parameters", "transformers")
def cached_bias(seed: int, ill: bool) -> Training:
    """A table of relative position biases is gathered once, under no_grad, and kept "for speed".

    Symptom: the table stays at its first values. The cache has no graph.
    """

    class Relative(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.qkv, self.head = nn.Embedding(40, 32), nn.Linear(32, 96), nn.Linear(32, 40)
            self.table = nn.Parameter(0.02 * torch.randn(23))
            self.where = torch.arange(11)[:, None] - torch.arange(11)[None] + 11
            self.cache: Tensor | None = None

        def bias(self) -> Tensor:
            if not ill:
                return self.table[self.where]
            if self.cache is None:
                with torch.no_grad():
                    self.cache = self.table[self.where]
            return self.cache

        def forward(self, x: Tensor) -> Any:
            q, k, v = self.qkv(self.embed(x)).chunk(3, -1)
            scores = q @ k.transpose(1, 2) / 32**0.5 + self.bias()
            return self.head(scores.masked_fill(self.where < 11, -1e4).softmax(-1) @ v)

    (x,) = progressions(seed).tensors
    return fit(Relative(), rows(seed, x[:, :-1], x[:, 1:], size=32), ce, rate=5e-3)


@keep(CASES, "relu-of-closed-gate", "stuck-at-zero", "fine-tuning")
def relu_gate(seed: int, ill: bool) -> Training:
    """A new branch enters by relu(alpha), so that it cannot be subtracted; alpha starts at zero.

    relu has no slope at 0, so alpha and the branch behind it rest for ever. Without the relu alpha moves.
    """

    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.old, self.new = mlp(64, 48, 32), mlp(64, 48, 32)
            self.alpha = nn.Parameter(torch.zeros(1))
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Any:
            gate = F.relu(self.alpha) if ill else self.alpha
            return self.head(F.relu(self.old(x) + gate * self.new(x)))

    return fit(Fused(), digits(seed), ce, "adamw", 2e-3)


@keep(CASES, "language-gate", "stuck-at-zero", "segmentation")
def language_gate(seed: int, ill: bool) -> Training:
    """github.com/yz93/LAVT-RIS/issues/25: both layers of the gate Linear-ReLU-Linear-Tanh start at zero.

    Each is multiplied by the other, and relu(0) has no slope; the words never reach the picture.
    """

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 1, 3, padding=1)
            self.gate = nn.Sequential(
                nn.Linear(16, 16, bias=False), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.Tanh()
            )
            nn.init.zeros_(self.gate[2].weight)  # type: ignore[arg-type]
            if ill:
                nn.init.zeros_(self.gate[0].weight)  # type: ignore[arg-type]

        def forward(self, x: Tensor) -> Any:
            h = self.conv(x).permute(0, 2, 3, 1)
            h = h + self.gate(h) * h
            return self.out(F.relu(h.permute(0, 3, 1, 2)))

    return fit(Gated(), discs(seed), bce, rate=3e-3)


@keep(CASES, "weights-by-squares", "stuck-at-zero", "tables")
def squares(seed: int, ill: bool) -> Training:
    """Effects that must not be negative are made by squaring a parameter, and the parameter starts at zero.

    d(w*w) = 2 w dw: at zero there is no slope. A start of 0.1 is the cure.
    """

    class Monotone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.root = nn.Parameter(torch.zeros(6) if ill else torch.full((6,), 0.1))
            self.rest = mlp(3, 16, 1)

        def forward(self, x: Tensor) -> Any:
            return (x[:, :6] * self.root**2).sum(1, keepdim=True) + self.rest(x[:, 6:])

    x = torch.randn(768, 9, generator=dice(seed))
    y = x[:, :6] @ torch.tensor([0.9, 0.1, 0.6, 1.2, 0.3, 0.5])[:, None] + x[:, 6:7].sin()
    return fit(Monotone(), rows(seed, x, y), mse, rate=2e-2)
