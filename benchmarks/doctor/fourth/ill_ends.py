"""Ill at the end, once more: shapes, squashing heads, outputs that are flat where they start."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.graphs import ContinuousFilter
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import cook, dice, mse, unexplained
from benchmarks.doctor.fourth.vision import RECIPES as EYES
from benchmarks.doctor.fourth.vision import BoxNet


def several(seed: int, ill: bool) -> Training:
    """Several labels at once are true, yet nn.Softmax stands before nn.BCELoss."""
    x = torch.randn(768, 10, generator=dice(seed))
    y = (x @ torch.randn(10, 5, generator=dice(seed + 1)) > -1.0).float()
    net = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 5), nn.Softmax(1) if ill else nn.Sigmoid())
    return fit(net, Batches((x, y), 48, seed), lambda m, b: F.binary_cross_entropy(m(b[0]), b[1]), rate=1e-2)


def returns(seed: int, ill: bool) -> Training:
    """nn.ReLU at the end of a forecast of what is as often below zero as above."""
    x, y = data.demand(seed, ahead=2).tensors
    y = y - x[:, -1:]
    net = nn.Sequential(nn.Linear(36, 48), nn.Softplus(), nn.Linear(48, 2), nn.ReLU() if ill else nn.Identity())
    return fit(net, Batches((x, y), 32, seed), mse)


def energies(seed: int, ill: bool) -> Training:
    """Energies are squeezed to (B,) by the network, the targets have a last axis: (B, B) errors."""

    class Squeezed(ContinuousFilter):
        def forward(self, pos: Tensor, charge: Tensor) -> Any:
            out = super().forward(pos, charge)
            return out.squeeze(-1) if ill else out

    def loss(m: nn.Module, b: Any) -> Any:
        return (m(b[0], b[1]) - b[2]).square().mean()

    return fit(Squeezed(), data.bodies(seed), loss, rate=1e-2, score=unexplained(data.bodies(seed)))


class Actor(nn.Module):
    """Deeds between -1 and 1, by tanh."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 48), nn.Linear(48, 48), nn.Linear(48, 3)
        nn.init.uniform_(self.fc3.weight, -bound, bound)

    def forward(self, s: Tensor) -> Any:
        return torch.tanh(self.fc3(F.relu(self.fc2(F.relu(self.fc1(s))))))


def driver(seed: int, ill: bool) -> Training:
    """What goes into the tanh is too large, and every deed is -1 or 1: github.com/floodsung/DDPG/issues/6"""
    net = Actor(40.0 if ill else 3e-3)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        s = torch.randn(64, 6)
        loss = (m(s) - 0.6 * torch.tanh(s[:, :3] - s[:, 3:])).square().sum(1).mean()  # a critic that knows
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, repeat(()), torch.optim.Adam(net.parameters(), 1e-3), train_step=step)


def pixels(seed: int, ill: bool) -> Training:
    """Boxes in pixels, from a sigmoid."""
    final: nn.Module = nn.Sigmoid() if ill else nn.Identity()
    return cook(
        EYES["box"],
        seed,
        net=lambda: BoxNet(final),
        data=partial(data.boxes, pixels=16.0),
        loss=lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]),
        rate=1e-2,
    )


class HeatMap(nn.Module):
    """Where the joint is, as a map of chances; its last bias was meant to start from few of them."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv2d(3, 16, 5, 1, 2), nn.SiLU(), nn.Conv2d(16, 16, 5, 1, 2), nn.SiLU())
        self.final = nn.Conv2d(16, 1, 1)
        nn.init.constant_(self.final.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        return torch.sigmoid(self.final(self.stage1(x)))


def joints(seed: int, ill: bool) -> Training:
    """A prior of e to the -18 in place of one in fifty."""
    net = HeatMap(-18.0 if ill else -2.0)
    return fit(net, data.masks(seed), lambda m, b: F.mse_loss(m(b[0]), b[1]), rate=3e-3)


class Pointer(nn.Module):
    """A softmax with a temperature points at the largest of ten."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))
        self.temperature = temperature

    def forward(self, x: Tensor) -> Any:
        return torch.softmax(self.score(x)[:, :, 0] / self.temperature, 1)


def pointed(seed: int, ill: bool) -> Training:
    """A temperature of a thousandth: the softmax is all ones and zeros, and has no slope."""
    x = torch.randn(640, 10, 1, generator=dice(seed))
    y = F.one_hot((x[:, :, 0] - 1).abs().argmin(1), 10).float()
    return fit(
        Pointer(2e-4 if ill else 0.3), Batches((x, y), 64, seed), lambda m, b: F.mse_loss(m(b[0]), b[1]), rate=1e-2
    )


class Grader(nn.Module):
    """Marks from 0 to 9 as nine times a sigmoid."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.body, self.out, self.scale = nn.Linear(64, 32), nn.Linear(32, 1), scale

    def forward(self, x: Tensor) -> Any:
        return 9 * torch.sigmoid(self.out(F.relu(self.body(x))) * self.scale)


def marks(seed: int, ill: bool) -> Training:
    """A sharpness of 200 makes a step of the sigmoid."""
    x, y = digits(seed).tensors
    return fit(Grader(300.0 if ill else 1.0), Batches((x, y.float()[:, None]), 64, seed), mse, rate=5e-3)


CASES: list[Case] = [
    ill("several-labels-softmax", "loss-head-mismatch", "tables", several, 80),
    ill("returns-above-zero", "loss-head-mismatch", "forecasting", returns, 80, "saturated-output dead-units"),
    ill("squeezed-energies", "loss-head-mismatch", "molecules", energies, 150),
    ill("driver-all-or-nothing", "saturated-output", "reinforcement", driver, 80, "saturated-units"),
    ill("box-of-sigmoid-in-pixels", "saturated-output", "detection", pixels, 80, "loss-head-mismatch unscaled-targets"),
    ill("joints-never", "saturated-output", "detection", joints, 80),
    ill("pointer-too-cold", "saturated-output", "attention", pointed, 80),
    ill("marks-all-or-nothing", "saturated-output", "tables", marks, 80, "saturated-units"),
]  # fmt: skip
