"""Ill in their numbers: what is no number any more, on the way up or on the way down, and what is too large."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, graphs, teacher, waves
from benchmarks.doctor.fifth.ill_parts import dice, fit, keep, mlp, rows

CASES: list[Case] = []


@keep(CASES, "log-of-a-negative-price", "nan-forward", "tables", 60)
def log_price(seed: int, ill: bool) -> Training:
    """A contest's measure as loss: (log(pred) - log(y))^2, without the clamp that d2l.ai's house prices have there.

    An output below zero has no logarithm. Cure: let the net give the logarithm itself.
    """
    x, y = teacher(seed).tensors

    def loss(m: Any, batch: Any) -> Any:
        return F.mse_loss(m(batch[0]).log() if ill else m(batch[0]), batch[1].log())

    return fit(mlp(8, 16, 1), rows(seed, x, (1.0 + 0.8 * y).exp()), loss, "adam", 1e-2)


@keep(CASES, "mean-of-squares-less-square", "nan-forward", "time series", 60)
def moments(seed: int, ill: bool) -> Training:
    """A norm by hand: sqrt(E[x^2] - E[x]^2). Where a window hardly moves the difference comes out below zero.

    As in github.com/TA-Lib/ta-lib/issues/202 (a flat stretch). Cure: clamp it, or take x.var().
    """
    x = waves(seed).tensors[0][..., 0]
    y = waves(seed).tensors[1]
    x = 20 + 2 * x
    x[::7] = x[::7, :1] + 1e-4 * x[::7]  # a sensor that sticks

    class Norm(nn.Module):
        def forward(self, x: Tensor) -> Any:
            mean = x.mean(1, keepdim=True)
            var = (x * x).mean(1, keepdim=True) - mean * mean
            return (x - mean) / (var if ill else var.clamp(min=1e-3)).sqrt().add(1e-5)

    net = nn.Sequential(Norm(), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 3))
    return fit(net, rows(seed, x, y, size=32), lambda m, b: F.cross_entropy(m(b[0]), b[1]), "adam", 3e-3)


@keep(CASES, "correlation-with-a-constant", "nan-forward", "audio", 80)
def concordance(seed: int, ill: bool) -> Training:
    """A loss of 1 - Pearson's r by clip; in some clips the rater said the same all through: 0 / 0.

    After github.com/york135/CTC_CE_for_AST/issues/3 (a share of nothing). Cure: a small number below the line.
    """
    g = dice(seed)
    x = torch.randn(512, 20, 6, generator=g)
    y = (x @ torch.randn(6, 1, generator=g))[..., 0].tanh()
    y[100:104] = 0.5
    net = mlp(6, 24, 1)

    def loss(m: Any, batch: Any) -> Any:
        p, t = (each - each.mean(1, keepdim=True) for each in (m(batch[0])[..., 0], batch[1]))
        below = p.norm(dim=1) * t.norm(dim=1) + (0.0 if ill else 1e-4)
        return 1 - ((p * t).sum(1) / below).mean()

    return fit(net, rows(seed, x, y, size=32), loss, "adam", 3e-3)


@keep(CASES, "branch-not-taken", "nan-backward", "dense", 40)
def branch(seed: int, ill: bool) -> Training:
    """github.com/pytorch/pytorch/issues/68425: an ELU by hand, torch.where(a > 0, a, exp(a) - 1).

    exp(a) of a large a is inf, in the branch that is not taken: 0 * inf on the way back. Cure: exp(a.clamp(max=0)).
    """

    class Elu(nn.Module):
        def forward(self, a: Tensor) -> Any:
            return torch.where(a > 0, a, (a if ill else a.clamp(max=0)).exp() - 1)

    x, y = teacher(seed).tensors
    x[::200] *= 100  # a few far out
    net = nn.Sequential(nn.Linear(8, 32), Elu(), nn.Linear(32, 1))
    return fit(net, rows(seed, x, y), lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]), "adam", 3e-3)


@keep(CASES, "compressed-silence", "nan-backward", "audio", 40)
def compressed(seed: int, ill: bool) -> Training:
    """github.com/speechbrain/speechbrain/issues/181: magnitudes to a power below 1 (0.3), and clips with silence.

    Its slope at 0 is inf: 0 times inf on the way back. Cure: add a small number before the power.
    """
    g = dice(seed)
    noisy = torch.randn(512, 16, generator=g).abs() + 0.1
    clean = noisy * (noisy > 0.7)
    noisy[40:44] = clean[40:44] = 0.0
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16), nn.Sigmoid())
    small = 0.0 if ill else 1e-5

    def loss(m: Any, batch: Any) -> Any:
        return F.mse_loss((m(batch[0]) * batch[0] + small) ** 0.3, (batch[1] + small) ** 0.3)

    return fit(net, rows(seed, noisy, clean, size=32), loss, "adam", 3e-3)


@keep(CASES, "nan-to-num-for-lonely-nodes", "nan-backward", "graph nets", 40, "nan-forward")
def lonely(seed: int, ill: bool) -> Training:
    """Messages over the number of neighbours, 0 / 0 for a lonely node, and nan_to_num "makes it 0".

    On the way up it does; on the way down the quotient still gives NaN. Cure: deg.clamp(min=1).
    """
    x, links, y = graphs(seed).tensors
    links = (links > 0).float() * (1 - torch.eye(8))
    links[::9, 0], links[::9, :, 0] = 0.0, 0.0

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.head = nn.Linear(6, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor, a: Tensor) -> Any:
            h = torch.relu(self.enter(x))
            count = a.sum(-1, keepdim=True)
            near = ((a @ h) / count).nan_to_num() if ill else (a @ h) / count.clamp(min=1)
            return self.head((h + near).mean(1))

    def loss(m: Any, batch: Any) -> Any:
        return F.cross_entropy(m(batch[0], batch[1]), batch[2])

    return fit(Mean(), rows(seed, x, links, y, size=16), loss, "adam", 5e-3)


@keep(CASES, "logarithm-of-variance-unbounded", "overflow-forward", "autoencoders", 60, "unscaled-inputs")
def logvar(seed: int, ill: bool) -> Training:
    """github.com/vanderschaarlab/synthcity/issues/331: a VAE on a table; a few amounts are far out.

    The log variance is a free output, and exp of it is inf for such a row. Cure: clamp it, as others do.
    """
    x = torch.randn(768, 10, generator=dice(seed))
    x[5::60, 3] = 2000.0

    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = mlp(10, 32, 8), mlp(4, 32, 10)

        def forward(self, x: Tensor) -> Any:
            mean, log = self.encode(x).chunk(2, 1)
            log = log if ill else log.clamp(-30, 4)
            out = self.decode(mean + (0.5 * log).exp() * torch.randn_like(mean))
            return out, -0.5 * (1 + log - mean.square() - log.exp()).sum(1)

    def loss(m: Any, batch: Any) -> Any:
        out, kl = m(batch[0])
        return F.smooth_l1_loss(out, batch[0]) + 1e-3 * kl.mean()

    return fit(Table(), rows(seed, x), loss, "adam", 1e-3)


@keep(CASES, "views-by-hand", "overflow-forward", "contrastive", 60)
def views(seed: int, ill: bool) -> Training:
    """InfoNCE by hand: exp(similarity / 0.01) is exp(100) for a view with itself, more than float32 holds.

    Cure: F.cross_entropy of the similarities, which takes the largest away first.
    """
    net = mlp(64, 64, 16)

    def loss(m: Any, batch: Any) -> Any:
        one, two = (F.normalize(m(batch[0] + 0.5 * torch.randn_like(batch[0])), dim=1) for _ in "12")
        every = torch.cat((one, two))
        close = every @ every.T / (0.01 if ill else 0.1)
        if ill:
            total = close.exp().sum(1) - close.diag().exp()
            return (total.log() - torch.cat(((one * two).sum(1),) * 2) / 0.01).mean()
        close = close.masked_fill(torch.eye(len(every), dtype=torch.bool), -1e9)
        return F.cross_entropy(close, torch.arange(len(every)).roll(len(one)))

    return fit(net, digits(seed), loss, "adam", 1e-3)


@keep(CASES, "risks-of-raw-columns", "overflow-forward", "survival", 60, "unscaled-inputs")
def cox(seed: int, ill: bool) -> Training:
    """github.com/jaredleekatzman/DeepSurv/issues/14: Cox's loss by log(cumsum(exp(risk))), columns as they came.

    A risk above 88 is inf. Cure: standardise, and logcumsumexp.
    """
    g = dice(seed)
    z = torch.randn(512, 6, generator=g)
    x = z * torch.tensor([12.0, 6e4, 30, 1.5, 60, 0.5]) + torch.tensor([61.0, 2.5e5, 140, 4, 210, 0.5])
    time = -torch.rand(512, generator=g).log() * (-(z[:, 0] - 0.7 * z[:, 1])).exp()
    net = mlp(6, 24, 1)

    def loss(m: Any, batch: Any) -> Any:
        order = batch[1].argsort(descending=True)
        risk = m(batch[0])[order, 0]
        total = risk.exp().cumsum(0).log() if ill else risk.logcumsumexp(0)
        return (total - risk).mean()

    return fit(net, rows(seed, x if ill else z, time), loss, "adam", 1e-2)
