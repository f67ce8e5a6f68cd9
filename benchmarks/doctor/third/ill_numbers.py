"""Ill in numbers: what is no number forwards or backwards, too large, or too small for sixteen bits. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks as more
from benchmarks.doctor.second.common import by, classify, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_losses import cox
from benchmarks.doctor.third.tasks import Do, Net


def trained(net: nn.Module, batches: Any, loss: Any = classify, rate: float = 3e-3) -> Training:
    """Return a training by Adam."""
    return Training(net, batches, by("adam", rate, net.parameters()), loss)


def nan_forward(seed: int, ill: bool, kind: str) -> Training:
    """`by-hand`: github.com/RasmussenLab/vamb/issues/12; `pixels`: github.com/emited/VariationalRecurrentNeuralNetwork/issues/2; `ctc`: github.com/FangShancheng/ABINet/issues/65."""
    if kind == "by-hand":  # 0 log 0

        def loss(model: nn.Module, batch: Any) -> Tensor:
            p = (600 * model(batch[0])).softmax(1)
            return -(F.one_hot(batch[1], 3) * (p + (0.0 if ill else 1e-9)).log()).sum(1).mean()

        return trained(mlp(2, 3, 48, 2), tasks.spirals(seed), loss)
    if kind == "pixels":

        def near(model: nn.Module, batch: Any) -> Tensor:
            x = batch[0].flatten(1)
            p = torch.sigmoid(150 * model(x))
            e = 0.0 if ill else 1e-6
            return -(x * (p + e).log() + (1 - x) * (1 - p + e).log()).mean()

        return trained(mlp(64, 64, 48, 1), tasks.mosaic(seed), near)
    if kind == "ctc":  # symbols repeat, so that some words need more frames than there are
        y = torch.randint(1, 4, (400, 4), generator=more.dice(seed))
        y = y if ill else torch.where(y == y.roll(1, 1), y % 3 + 1, y)
        x = torch.eye(4)[y].repeat_interleave(1 if ill else 3, 1) + 0.1 * torch.randn(
            400, 4 if ill else 12, 4, generator=more.dice(seed + 1)
        )

        def ctc(model: nn.Module, batch: Any) -> Tensor:
            out = model(batch[0]).log_softmax(2).transpose(0, 1)
            return F.ctc_loss(out, batch[1], torch.full((32,), len(out)), torch.full((32,), 4))

        return trained(nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 4)), Batches((x, y), 32, seed), ctc)
    if kind == "nobody-dies":  # a batch in which no end was seen
        x, time, seen = tasks.lifetimes(seed, 4).tensors
        keep = torch.rand(len(x), generator=more.dice(seed + 2)) < 0.4
        batches = Batches((x, time, (seen * keep).float()), 4 if ill else 64, seed)
        return trained(mlp(8, 1, 32, 2), batches, cox)
    if kind == "gamma-root":  # brightness to the power of 1 / 2.2 of what may be below zero
        net = Net(
            lambda m, x: (
                m.out(((h := m.body(x)) if ill else h.clamp(min=1e-3)).pow(0.4545))
                if ill
                else m.out(m.body(x).clamp(min=1e-3).pow(0.4545))
            ),
            body=mlp(2, 24, 48, 1),
            out=nn.Linear(24, 3),
        )
        return trained(net, tasks.spirals(seed))
    x, y = tasks.friedman(seed).tensors  # "missing": two of a thousand were not measured
    lost = torch.rand(x.shape, generator=more.dice(seed + 3)) < 2e-3
    return trained(
        mlp(10, 1, 48, 2), Batches((x.masked_fill(lost, float("nan") if ill else 0.0), y), 64, seed), squared
    )


class Simplex(nn.Module):
    """Shares by ReLU, of which many are zero, and their entropy as a price."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.net, self.wrong = mlp(2, 3, 48, 2), wrong

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = F.relu(self.net(x))
        p = z / (z.sum(1, keepdim=True) + 1e-3)
        each = torch.where(p > 0, p * torch.log(p if self.wrong else p.clamp(min=1e-8)), torch.zeros_like(p))
        return z, each.sum(1)


def nan_backward(seed: int, ill: bool, kind: str) -> Training:
    """`none-near`: github.com/pytorch/pytorch/issues/16317; `softplus`: github.com/pytorch/pytorch/issues/68425; `own-distance`: github.com/pytorch/pytorch/issues/2421."""
    if kind == "own-distance":  # all distances within a set, its own included

        def apart(m: Any, x: Tensor) -> Tensor:
            h = m.each(x)
            d = ((h[:, :, None] - h[:, None]).square().sum(3) + (0.0 if ill else 1e-6)).sqrt()
            return m.out(torch.cat((d.amax((1, 2))[:, None], d.mean((1, 2))[:, None]), 1))

        return trained(Net(apart, each=mlp(1, 4, 16, 1), out=nn.Linear(2, 1)), tasks.handfuls(seed), squared)
    if kind == "none-near":  # the mean of neighbours where there may be none

        def run(m: Any, x: Tensor) -> Tensor:
            h = m.body(x)
            near = (torch.cdist(x, x) < 0.08).float().fill_diagonal_(0)
            count = near.sum(1, keepdim=True)
            mean = (near @ h) / (count if ill else count.clamp(min=1))
            return m.out(h + torch.where(count == 0, torch.zeros_like(mean), mean))

        return trained(Net(run, body=mlp(2, 24, 48, 1), out=nn.Linear(24, 3)), tasks.spirals(seed))
    if kind == "softplus":  # the large ones are left out by `where`, after exp had them

        def soft(h: Tensor) -> Tensor:
            h = 40 * h
            return torch.where(h > 30, h, torch.log1p(torch.exp(h if ill else h.clamp(max=30))))

        return trained(nn.Sequential(nn.Linear(2, 48), Do(soft), nn.Linear(48, 3)), tasks.spirals(seed), rate=1e-3)
    if kind == "silence":  # the spectrum of a silent clip: a root at zero

        def heard(model: nn.Module, batch: Any) -> Tensor:
            spectra = [torch.view_as_real(torch.fft.rfft(x)).square().sum(3) for x in (model(batch[0]), batch[0])]
            one, two = ((s + (0.0 if ill else 1e-6)).sqrt() for s in spectra)
            return (one - two).abs().mean()

        x, y = tasks.motifs(seed).tensors
        x[::40] = 0.0
        coder = nn.Sequential(
            nn.Conv1d(1, 12, 5, padding=2, bias=False), nn.Tanh(), nn.Conv1d(12, 1, 5, padding=2, bias=False)
        )
        return trained(coder, Batches((x, y), 32, seed), heard, 1e-2)

    def priced(model: nn.Module, batch: Any) -> Tensor:
        z, price = model(batch[0])
        return F.cross_entropy(z, batch[1]) - 0.01 * price.mean()

    return trained(Simplex(ill), tasks.spirals(seed), priced)


def overflows(seed: int, ill: bool, kind: str) -> Training:
    """A float32 that is too large."""
    if kind == "quadratic":  # squares of squares
        times = 12 if ill else 1

        def run(m: Any, x: Tensor) -> Tensor:
            h = m.into(x)
            for _ in range(times):
                h = h.square() - 0.5
            return m.out(h)

        return trained(Net(run, into=nn.Linear(2, 48), out=nn.Linear(48, 3)), tasks.spirals(seed))
    if kind == "unstable-states":  # a state space whose exponents have lost their sign

        def states(m: Any, x: Tensor) -> Tensor:
            kernel = torch.exp((1 if ill else -1) * m.decay.exp()[:, None] * torch.arange(x.shape[1]))
            return m.out((m.into(x).transpose(1, 2).flip(2) * kernel).sum(2))

        return trained(
            Net(states, decay=nn.Parameter(torch.linspace(-3, 1.2, 32)), into=nn.Linear(2, 32), out=nn.Linear(32, 1)),
            partial(tasks.opening, length=60)(seed),
            squared,
        )
    if kind == "weights-by-exp":  # RWKV's weights without the largest taken off

        def mixed(m: Any, x: Tensor) -> Tensor:
            k, v = m.key(x) * 60, m.value(x)
            w = torch.exp(k if ill else k - k.amax(1, keepdim=True))
            return m.out((w * v).sum(1) / w.sum(1))

        return trained(
            Net(mixed, key=nn.Linear(1, 16), value=nn.Linear(1, 16), out=nn.Linear(16, 1)),
            tasks.handfuls(seed),
            squared,
            1e-2,
        )

    def fall(m: Any, s: Tensor) -> Tensor:  # "cubic": a learned field of cubes in long steps
        path = []
        for _ in range(8):
            for _ in range(4 if ill else 1):
                s = s + (0.5 * m.net(torch.cat((s, s**3), 1)) if ill else 0.1 * m.net(torch.cat((s, s.sin()), 1)))
            path.append(s)
        return torch.stack(path, 1)

    return trained(Net(fall, net=nn.Linear(4, 2)), tasks.pendulum(seed), lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]))


CASES: list[Case] = [
    *[ill(f"third-{kind}", "nan-forward", family, partial(nan_forward, kind=kind), 30, also) for kind, family, also in (
        ("by-hand", "dense", "precision-underflow"), ("pixels", "autoencoders", "overflow-forward precision-underflow"), ("ctc", "recurrent", "overflow-forward"), ("nobody-dies", "survival", ""), ("gamma-root", "dense", ""), ("missing", "tables", ""))],
    *[ill(f"third-{kind}", "nan-backward", family, partial(nan_backward, kind=kind), 30) for kind, family in (("own-distance", "sets"), ("none-near", "graph nets"), ("softplus", "dense"), ("silence", "autoencoders"), ("shares", "dense"))],
    *[ill(f"third-{kind}", "overflow-forward", family, partial(overflows, kind=kind), 30, also) for kind, family, also in (
        ("quadratic", "dense", "exploding-depth"), ("unstable-states", "recurrent", "exploding-time exploding-depth"), ("weights-by-exp", "sets", "nan-forward"), ("cubic", "physics", "exploding-depth exploding-time nan-forward"))],
]  # fmt: skip
