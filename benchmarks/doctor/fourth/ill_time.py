"""Ill along a recurrence, or in what each unit is: memories that fade or swell, flat units, signals that become one, twins."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, dice, mse
from benchmarks.doctor.fourth.science import RECIPES as SCIENCE
from benchmarks.doctor.fourth.sequences import SelectiveScan


class ElmanNet(nn.Module):
    """The recurrence of a first lesson, on a number that stands in front; an identity to start with, or small weights."""

    def __init__(self, start: str) -> None:
        super().__init__()
        self.hidden_size = 32
        self.emb, self.i2h = nn.Embedding(5, 16), nn.Linear(16, 32)
        self.h2h, self.out = nn.Linear(32, 32, bias=False), nn.Linear(32, 4)
        if start == "small":
            nn.init.normal_(self.h2h.weight, 0, 0.05)
        else:
            nn.init.eye_(self.h2h.weight)
            nn.init.zeros_(self.emb.weight[0].data)
            nn.init.zeros_(self.i2h.bias)

    def forward(self, x: Tensor) -> Any:
        h = torch.zeros(len(x), self.hidden_size)
        for t in range(x.shape[1]):
            h = torch.tanh(self.i2h(self.emb(x[:, t])) + self.h2h(h))
        return self.out(h)


class LeakyUnits(nn.Module):
    """Units that forget a share of what they have at each reading (liquid, or leaky integrators)."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.inp, self.mix = nn.Linear(2, 32), nn.Linear(32, 32, bias=False)
        self.out = nn.Linear(32, 1)
        self.logit = nn.Parameter(torch.full((32,), torch.logit(torch.tensor(keep)).item()))
        nn.init.normal_(self.mix.weight, 0, 0.02)

    def forward(self, x: Tensor) -> Any:
        h = torch.zeros(len(x), 32)
        keep = torch.sigmoid(self.logit)
        for t in range(x.shape[1]):
            h = keep * h + (1 - keep) * 3 * torch.tanh(self.inp(x[:, t]) * x[:, t, 1:] + 0.1 * self.mix(h))
        return self.out(h)


class ConvMemory(nn.Module):
    """A gated memory of pictures, whose first picture is asked for at the end."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.gates, self.cand, self.out = nn.Conv2d(10, 8, 3, 1, 1), nn.Conv2d(10, 8, 3, 1, 1), nn.Conv2d(8, 1, 1)
        nn.init.constant_(self.gates.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        h = x.new_zeros(len(x), 8, *x.shape[3:])
        for t in range(x.shape[1]):
            both = torch.cat([x[:, t], torch.full_like(x[:, t], float(t == 0)), h], 1)
            keep = torch.sigmoid(self.gates(both))
            h = keep * h + (1 - keep) * torch.tanh(self.cand(both))
        return self.out(h)


def album(seed: int) -> Batches:
    """Return sixteen small pictures (B, 16, 1, 6, 6), and the first of them."""
    x = torch.randn(400, 16, 1, 6, 6, generator=dice(seed))
    return Batches((x, x[:, 0]), 32, seed)


class ReadOnce(nn.Module):
    """nn.LSTM, of which the last state is read; its gates of forgetting are shut, or open."""

    def __init__(self, forget: float) -> None:
        super().__init__()
        self.emb, self.lstm, self.fc = nn.Embedding(5, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 4)
        with torch.no_grad():
            self.lstm.get_parameter("bias_ih_l0")[32:64] = forget
            self.lstm.get_parameter("bias_hh_l0")[32:64] = 0

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.lstm(self.emb(x))[0][:, -1])


def scanned(seed: int, ill: bool, kind: str) -> Training:
    """A selective scan whose decay is so fast that all is forgotten; or whose decay has lost its sign."""
    net = SelectiveScan()
    if ill and kind == "forgets":
        net.log_a.data.add_(5.0)
    elif ill:
        net = Growing()
    return fit(net, data.gauge(seed, length=24 if kind == "forgets" else 40), mse, rate=1e-2)


class Growing(SelectiveScan):
    """exp(dt * a) with a above zero."""

    def forward(self, x: Tensor) -> Any:
        u = self.inp(x)
        dt, b, c = F.softplus(self.dt(u)), self.b(u), self.c(u)
        h, a = u.new_zeros(len(u), *self.log_a.shape), (self.log_a + 2).exp()
        for t in range(u.shape[1]):
            h = (dt[:, t, :, None] * a).exp() * h + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
        return self.out((h * c[:, -1, None]).sum(-1) + self.skip * u[:, -1])


def forgets(seed: int, ill: bool, kind: str) -> Training:
    """What stood first has faded when it is asked for."""
    if kind == "elman":
        return fit(ElmanNet("small" if ill else "eye"), data.reminder(seed, length=25), ce, rate=3e-3)
    if kind == "leaky":
        return fit(LeakyUnits(0.3 if ill else 0.97), data.gauge(seed, length=30), mse, rate=2e-2)
    if kind == "album":
        return fit(ConvMemory(-1.5 if ill else 3.0), album(seed), mse, rate=2e-2)
    return fit(ReadOnce(-3.0 if ill else 5.0), data.reminder(seed, length=30), ce, rate=1e-2)


class Residual(nn.Module):
    """h + f(h) at each of many readings, with nothing that holds it back."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.inp, self.f, self.out = nn.Linear(2, 24), nn.Linear(24, 24), nn.Linear(24, 1)
        nn.init.orthogonal_(self.f.weight, gain)

    def forward(self, x: Tensor) -> Any:
        h = torch.zeros(len(x), 24)
        for t in range(x.shape[1]):
            h = h + F.elu(self.f(h)) + self.inp(x[:, t]) * x[:, t, 1:]
        return self.out(h)


def swells(seed: int, ill: bool, kind: str) -> Training:
    """What stood first is multiplied at each step."""
    if kind == "koopman":
        t = cook(SCIENCE["koopman"], seed, data=partial(data.orbits, steps=30))
        if ill:
            net: Any = t.model
            net.K.weight.data.mul_(2.2)
        return t
    if kind == "residual":
        return fit(Residual(0.9 if ill else 0.02), data.gauge(seed, length=40), mse, rate=3e-3)
    model: Any = nn.ModuleDict({"rnn": nn.RNN(2, 24, nonlinearity="relu", batch_first=True), "out": nn.Linear(24, 1)})
    rnn: Any = model["rnn"]
    nn.init.eye_(rnn.weight_hh_l0)
    rnn.weight_hh_l0.data.mul_(1.7 if ill else 1.0)
    return fit(
        model,
        data.gauge(seed, length=30),
        lambda m, b: F.mse_loss(m["out"](m["rnn"](b[0] * b[0][..., 1:])[0][:, -1]), b[1]),
        rate=2e-3,
    )


CASES = [
    *[ill(f"faded-{kind}", "vanishing-time", "recurrent", partial(forgets, kind=kind), steps) for kind, steps in (("elman", 120), ("leaky", 100), ("album", 120), ("shut-lstm", 100))],
    ill("faded-scan", "vanishing-time", "recurrent", partial(scanned, kind="forgets"), 150),
    ill("swells-scan", "exploding-time", "recurrent", partial(scanned, kind="grows"), 100, "overflow-forward"),
    *[ill(f"swells-{kind}", "exploding-time", family, partial(swells, kind=kind), 100, also) for kind, family, also in (("koopman", "dynamics", "overflow-forward exploding-depth"), ("residual", "recurrent", "overflow-forward"), ("identity", "recurrent", "overflow-forward"))],
]  # fmt: skip
