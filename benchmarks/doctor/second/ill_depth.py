"""Ill in depth and time: gradients that vanish or explode, dead and flat units, signals that become one, twins."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import he, mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, next_one, rebuilt, squared
from benchmarks.doctor.second.healthy_distances import pairs
from benchmarks.doctor.second.nets import Convolved, Elman, LeNet, Tagger
from benchmarks.doctor.second.pool import POOL, from_pool, linears, reweighed

Make = Any


def stacked(act: Any, depth: int, inputs: int = 1, width: int = 10, out: int = 4, flat: bool = True) -> nn.Sequential:
    """Return convolutions one after another, pooled at the end."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Conv2d(inputs if number == 0 else width, width, 3, padding=1), act()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * width, out))


def vanishes(seed: int, ill: bool, kind: str) -> Training:
    """Each layer passes on less than it gets. Cured: weights that keep the variance, or another function."""
    if kind == "convolutions":
        net: nn.Module = stacked(nn.Sigmoid if ill else nn.ReLU, 6)
        return from_pool(seed, "lenet", net=lambda: net if ill else he(net), rate=0.02)
    if kind == "wine":
        net = mlp(13, 3, 48, 14, nn.Tanh)
        return from_pool(
            seed,
            "highway",
            net=lambda: reweighed(net, std=0.05, bias=0.0) if ill else he(net, 1.1),
            way="sgd",
            rate=0.01,
        )
    if kind == "forecast":
        net = mlp(32, 8, 48, 12, nn.ReLU)
        return from_pool(seed, "beats", net=lambda: net if ill else he(net), way="sgd", rate=0.02)
    if kind == "coder":
        coder = nn.Sequential(
            mlp(24, 8, 32, 4, nn.Sigmoid if ill else nn.Tanh), mlp(8, 24, 32, 4, nn.Sigmoid if ill else nn.Tanh)
        )
        net = coder if ill else he(coder, 1.0)
        return Training(net, tasks.factors(seed), by("sgd", 0.3, net.parameters()), rebuilt)
    if kind == "graph":
        deep = Convolved("gin", 16, 5)
        return from_pool(
            seed, "gcn", net=lambda: reweighed(deep, std=0.05, bias=0.0) if ill else he(deep, 1.0), way="sgd", rate=0.05
        )
    net = LeNet(nn.Sigmoid if ill else nn.Tanh)  # "siamese": sigmoids throughout, as in the old article
    return Training(reweighed(net, 0.3) if ill else net, tasks.shapes(seed), by("sgd", 0.05, net.parameters()), pairs)


def explodes(seed: int, ill: bool, kind: str) -> Training:
    """Each layer passes on more than it gets."""
    if kind == "convolutions":
        net: nn.Module = stacked(nn.ReLU, 7)
        return from_pool(seed, "lenet", net=lambda: reweighed(net, std=0.5) if ill else he(net), rate=0.01)
    if kind == "wine":
        net = mlp(13, 3, 48, 12, nn.LeakyReLU)
        return from_pool(seed, "highway", net=lambda: he(net, 3.2 if ill else 1.4), way="sgd", rate=5e-3)
    if kind == "sines":
        net = nn.Sequential(mlp(10, 48, 48, 5, Sines), Sines(), nn.Linear(48, 1))
        return from_pool(seed, "trees", net=lambda: he(net, 6.0 if ill else 1.2), way="sgd", rate=0.02)
    if kind == "normal":
        net = mlp(24, 4, 64, 8, nn.Tanh)
        return Training(
            reweighed(net, std=1.0) if ill else he(net, 1.0),
            tasks.factors(seed),
            by("sgd", 0.01, net.parameters()),
            classify,
        )
    deep = Convolved("gin", 16, 6)
    return from_pool(seed, "gcn", net=lambda: he(deep, 3.5 if ill else 1.0), way="sgd", rate=0.01)


class Sines(nn.Module):
    """A sine."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


def forgets(seed: int, ill: bool, kind: str) -> Training:
    """The first word decides, and the recurrence forgets it. Cured: a gate that stays open."""
    length = {"elman": 40, "relu": 50, "gru": 60, "closed": 30, "two-layers": 60}[kind]
    make = partial(tasks.first_word, length=length)
    if not ill:
        open_: Any = Tagger("LSTM", 12, 24)
        with torch.no_grad():
            open_.core.bias_ih_l0[24:48] = 5.0
        return from_pool(seed, "elman", net=lambda: Last(open_), make=make, rate=1e-2)
    if kind == "elman":
        elman = Elman(act=torch.tanh)
        nn.init.orthogonal_(elman.h2h.weight, 0.7)
        return from_pool(seed, "elman", net=lambda: elman, make=make)
    if kind == "relu":
        elman = Elman(act=torch.relu)
        nn.init.eye_(elman.h2h.weight)
        with torch.no_grad():
            elman.h2h.weight.mul_(0.6)
        return from_pool(seed, "elman", net=lambda: elman, make=make)
    net: Any = Tagger("GRU" if kind == "gru" else "LSTM", 12, 24)
    if kind == "two-layers":
        net.core = nn.LSTM(16, 24, 2, batch_first=True)
    with torch.no_grad():
        if kind in ("gru", "closed"):
            net.core.bias_ih_l0[24:48] = -2.5
    return from_pool(seed, "elman", net=lambda: Last(net), make=make, rate=5e-3)


class Last(nn.Module):
    """What is said at the last word."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[:, -1]


class State(nn.Module):
    """A linear state, by hand, without anything that squashes it."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.carry, self.into, self.out = nn.Linear(20, 20, bias=False), nn.Linear(2, 20), nn.Linear(20, 1)
        nn.init.orthogonal_(self.carry.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 20)
        for piece in x.unbind(1):
            h = self.carry(h) + self.into(piece)
        return self.out(h)


def blows_up(seed: int, ill: bool, kind: str) -> Training:
    """The recurrent matrix stretches at every step. Cured: gain below 1."""
    if kind == "state":
        net: Any = State(1.5 if ill else 0.6)
        return Training(net, tasks.sums(seed, length=40), by("adam", 5e-3, net.parameters()), squared)
    if kind == "elman-relu":
        net = Elman(act=torch.relu)
        nn.init.orthogonal_(net.h2h.weight, 2.6 if ill else 0.9)
        return from_pool(seed, "elman", net=lambda: net, make=partial(tasks.first_word, length=40 if ill else 6))
    if kind == "letters":
        net = Tagger("RNN", 27, 32, 27)
        net.core = nn.RNN(16, 32, batch_first=True, nonlinearity="relu")
        nn.init.orthogonal_(net.core.weight_hh_l0, 2.8 if ill else 0.9)
        return from_pool(
            seed, "gpt", net=lambda: net, make=partial(tasks.corpus, length=40), loss=next_one, way="adam", rate=1e-2
        )
    net = Tagger("RNN", 40, 32)  # "chaos": tanh far beyond the edge
    nn.init.orthogonal_(net.core.weight_hh_l0, 5.0 if ill else 0.8)
    return from_pool(seed, "tagger", net=lambda: net, make=partial(tasks.tags, length=40), rate=5e-3)


def dead(seed: int, ill: bool, kind: str) -> Training:
    """ReLUs that no sample switches on."""
    if kind == "convolutions":
        return from_pool(
            seed,
            "lenet",
            net=lambda: reweighed(he(stacked(nn.ReLU, 3)), bias=-6.0) if ill else he(stacked(nn.ReLU, 3)),
            rate=0.02,
        )
    if kind == "rate":
        net = mlp(20, 6, 64, 2)
        return from_pool(seed, "labels", net=lambda: net, rate=1.0 if ill else 5e-3)
    if kind == "table":
        net = he(mlp(10, 1, 48, 3))
        if ill:
            nn.init.constant_(net[2].bias, -15.0)  # type: ignore[arg-type]
        return from_pool(seed, "trees", net=lambda: net)
    return from_pool(seed, kind, net=lambda: reweighed(POOL[kind].net(), bias=-5.0) if ill else POOL[kind].net())


def flat(seed: int, ill: bool, kind: str) -> Training:
    """Units far out where their function is flat."""
    if kind == "lenet":
        return from_pool(seed, "lenet-tanh", net=lambda: reweighed(LeNet(nn.Tanh), times=40.0 if ill else 1.0))
    if kind == "forecast":
        net: nn.Module = mlp(32, 8, 48, 3, nn.Tanh)
        return from_pool(seed, "beats", net=lambda: reweighed(net, std=4.0) if ill else net)
    if kind == "wine":
        net = mlp(13, 3, 32, 2, nn.Sigmoid)
        return from_pool(seed, "highway", net=lambda: reweighed(net, bias=-15.0) if ill else net, rate=2e-2)
    net = mlp(20, 6, 48, 2, nn.Hardtanh)
    return from_pool(seed, "labels", net=lambda: reweighed(net, std=5.0) if ill else net)


class Averaged(nn.Module):
    """Graph layers after so many averages over neighbours that all nodes are one."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds, self.one, self.two = rounds, nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        h = torch.relu(self.one(x))
        for _ in range(self.rounds):
            h = links @ h
        return self.two(h)


class Pooled(nn.Module):
    """Convolutions, an instance norm, and a mean over places: the norm has made all of these means zero."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3),
            nn.InstanceNorm2d(24) if wrong else nn.GroupNorm(1, 24),
        )
        self.out = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x).mean((2, 3)))


class LargestOfBatch(nn.Module):
    """The largest over the samples (dim=0), where it should be over the points."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.each, self.out, self.wrong = (
            nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()),
            nn.Linear(32, 3),
            wrong,
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.each(x)
        h = h.amax((0, 1), keepdim=True).expand(len(x), 1, -1)[:, 0] if self.wrong else h.amax(1)
        return self.out(h)


def collapsed(seed: int, ill: bool, kind: str) -> Training:
    """Every input becomes one and the same."""
    if kind == "over-smoothed":
        return from_pool(seed, "gcn", net=lambda: Averaged(60 if ill else 1))
    if kind == "instance-norm":
        return from_pool(seed, "lenet", net=lambda: Pooled(ill), way="adam", rate=1e-2)
    return from_pool(seed, "pointnet", net=lambda: LargestOfBatch(ill))


def twins(seed: int, ill: bool, kind: str) -> Training:
    """All weights of a layer alike, so that its units stay copies of one another."""
    well = POOL[kind]
    net = well.net()
    if ill:
        for layer in linears(net):
            nn.init.constant_(layer.weight, 0.05)
            nn.init.zeros_(layer.bias)
        if kind == "tagger":
            for parameter in net.core.parameters():  # type: ignore[operator, union-attr]
                nn.init.constant_(parameter, 0.1)
            nn.init.constant_(net.embed.weight, 0.1)  # type: ignore[arg-type, union-attr]
    return from_pool(seed, kind, net=lambda: net)


CASES: list[Case] = [
    *[ill(f"deep-{kind}", "vanishing-depth", family, partial(vanishes, kind=kind), 80, "signal-collapse") for kind, family in (
        ("convolutions", "convolutional"), ("wine", "tables"), ("forecast", "forecasting"), ("coder", "autoencoders"), ("graph", "graph nets"), ("siamese", "metric learning"))],
    *[ill(f"deep-{kind}", "exploding-depth", family, partial(explodes, kind=kind), 60, "overflow-forward saturated-units") for kind, family in (
        ("convolutions", "convolutional"), ("wine", "tables"), ("sines", "tables"), ("normal", "dense"), ("graph", "graph nets"))],
    *[ill(f"forgets-{kind}", "vanishing-time", "recurrent", partial(forgets, kind=kind), 120) for kind in ("elman", "relu", "gru", "closed", "two-layers")],
    *[ill(f"blows-{kind}", "exploding-time", "recurrent", partial(blows_up, kind=kind), 60, also) for kind, also in (
        ("state", "overflow-forward"), ("elman-relu", "overflow-forward"), ("letters", "overflow-forward"), ("chaos", "saturated-units"))],
    *[ill(f"off-{kind}", "dead-units", family, partial(dead, kind=kind), 60, also) for kind, family, also in (
        ("trees", "tables", ""), ("convolutions", "convolutional", ""), ("rate", "tables", "step-too-large"), ("table", "tables", ""), ("pointnet", "sets", ""), ("gcn", "graph nets", ""))],
    *[ill(f"far-out-{kind}", "saturated-units", family, partial(flat, kind=kind), 60, also) for kind, family, also in (
        ("lenet", "tutorials", ""), ("forecast", "forecasting", ""), ("wine", "tables", "signal-collapse"), ("labels", "tables", "dead-units"))],
    *[ill(kind, "signal-collapse", family, partial(collapsed, kind=kind), 60) for kind, family in (("over-smoothed", "graph nets"), ("instance-norm", "convolutional"), ("largest-of-batch", "sets"))],
    *[ill(f"alike-{kind}", "symmetric-initialisation", POOL[kind].family, partial(twins, kind=kind), 90, also) for kind, also in (
        ("lenet", ""), ("pointnet", ""), ("tagger", "signal-collapse"), ("gcn", ""), ("nerf", ""))],  # of the tagger, all words are one
]  # fmt: skip
