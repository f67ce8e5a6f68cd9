"""Ill in their links: parameters that no gradient reaches, or that rest at zero."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, pictures
from benchmarks.doctor.sixth.parts_b import ce, dice, fit, keep, mse, rows

CASES: list[Case] = []


@keep(CASES, "checkpointed-stem", "disconnected-parameters", "convolutional")
def checkpointed(seed: int, ill: bool) -> Training:
    """github.com/Lyken17/pytorch-memonger/issues/4: the first stage is checkpointed to save memory.

    Of a reentrant checkpoint no gradient comes unless an input asks for one, and pictures do not; torch warns once.
    """

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU())
            self.tail = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.tail(checkpoint(self.stem, x, use_reentrant=ill)))

    return fit(Net(), pictures(seed, 32, side=16, channels=1), ce, "adam", 5e-3)


@keep(CASES, "shop-states-read-through-data", "disconnected-parameters", "forecasting", 100)
def shops(seed: int, ill: bool) -> Training:
    """Each shop has a learned first state of the GRU, which is read by `self.start.data[shop]`.

    It was put there against a complaint on a view of a leaf. As in github.com/yaoyao-liu/class-incremental-learning/
    issues/4, the learned tensor gets no gradient; all shops start alike.
    """
    g = dice(seed)
    shop = torch.randint(0, 12, (1024,), generator=g)
    x = torch.randn(1024, 8, 1, generator=g)
    y = 0.5 * x[:, -3:].mean(1) + torch.randn(12, 1, generator=g)[shop]

    class Sales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Parameter(torch.zeros(12, 24))
            self.gru, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x: Tensor, shop: Tensor) -> Any:
            start = self.start.data[shop] if ill else self.start[shop]
            return self.head(self.gru(x, start[None])[0][:, -1])

    return fit(Sales(), rows(seed, x, shop, y), mse, "adam", 2e-2)


@keep(CASES, "threshold-in-a-comparison", "disconnected-parameters", "restoration")
def threshold(seed: int, ill: bool) -> Training:
    """An unrolled sparse coder learns its thresholds, but they stand in `h * (h.abs() > t)` only.

    A comparison has no slope. Cure: shrink by the threshold, sign(h) * relu(|h| - t).
    """
    g = dice(seed)
    clean = torch.randn(768, 24, generator=g) * (torch.rand(768, 24, generator=g) < 0.15)
    mix = torch.randn(24, 16, generator=g) / 4
    seen = clean @ mix + 0.1 * torch.randn(768, 16, generator=g)

    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.back = nn.Linear(16, 24, bias=False), nn.Linear(24, 24, bias=False)
            self.thresholds = nn.Parameter(torch.full((4, 24), 0.05))

        def forward(self, x: Tensor) -> Any:
            h = first = self.enter(x)
            for t in self.thresholds:
                h = first + self.back(h)
                h = h * (h.abs() > t) if ill else h.sign() * F.relu(h.abs() - t)
            return h

    return fit(Unrolled(), rows(seed, seen, clean), mse, "adam", 1e-2)


@keep(CASES, "mixing-of-layers-by-relu", "stuck-at-zero", "transformers")
def mixing(seed: int, ill: bool) -> Training:
    """github.com/lucidrains/deep-cross-attention/issues/2: earlier layers are mixed in by relu(Linear(RMSNorm(h))).

    The linear map starts at zero and has no bias: relu(0) has no slope, so nothing is mixed in, ever.
    """

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.head, self.norm = nn.Linear(64, 32), nn.Linear(32, 10), nn.RMSNorm(32)
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.GELU()) for _ in range(3))
            self.weigh = nn.ModuleList(nn.Linear(32, n + 1, bias=False) for n in range(3))
            for weight in self.weigh.parameters():
                nn.init.zeros_(weight) if ill else nn.init.normal_(weight, std=0.02)

        def forward(self, x: Tensor) -> Any:
            past = [self.enter(x)]
            for block, weigh in zip(self.blocks, self.weigh, strict=True):
                shares = F.relu(weigh(self.norm(past[-1])))
                mixed = (torch.stack(past, 1) * shares[..., None]).sum(1)
                past.append(past[-1] + block(past[-1] + mixed))
            return self.head(past[-1])

    return fit(Mixed(), digits(seed), ce, "adamw", 3e-3)


@keep(CASES, "zero-gamma-in-a-plain-net", "stuck-at-zero", "convolutional", also="dead-units")
def zero_gamma(seed: int, ill: bool) -> Training:
    """The recipe "start the last norm of each residual block at 0", applied to every norm of a net without residuals.

    Weight and bias of a norm are 0 and a ReLU follows: its slope at 0 is 0, so only the head's bias learns.
    """
    layers: list[nn.Module] = []
    for a, b in ((1, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 4))
    for module in net:
        if ill and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    return fit(net, pictures(seed, 32, side=16, channels=1), ce, "sgd", 0.05)


@keep(CASES, "gate-and-output-both-zero", "stuck-at-zero", "diffusion")
def modulated(seed: int, ill: bool) -> Training:
    """A denoiser's branch has a gate that starts at zero (as in DiT), and its last layer is "zeroed for safety" too.

    Each is multiplied by the other, so neither ever gets a gradient. Cure: only the gate is zero.
    """
    clean = 2 * discs(seed).tensors[1] - 1

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.leave = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 1, 3, padding=1)
            self.gate, self.inner = nn.Linear(2, 16), nn.Conv2d(16, 16, 5, padding=2)
            self.out = nn.Conv2d(16, 16, 1)
            for each in (self.gate, self.out)[: 2 if ill else 1]:
                nn.init.zeros_(each.weight)
                nn.init.zeros_(each.bias)  # type: ignore[arg-type]

        def forward(self, x: Tensor, level: Tensor) -> Any:
            h = F.silu(self.enter(x))
            gate = self.gate(torch.cat((level, level.square()), 1))[..., None, None]
            return self.leave(h + gate * self.out(F.silu(self.inner(h))))

    def loss(m: Any, batch: Any) -> Any:
        level = torch.rand(len(batch[0]), 1)
        noise = torch.randn_like(batch[0])
        seen = (1 - level)[..., None, None] * batch[0] + level[..., None, None] * noise
        return F.mse_loss(m(seen, level), batch[0])

    return fit(Denoiser(), rows(seed, clean, size=16), loss, "adam", 3e-3)
