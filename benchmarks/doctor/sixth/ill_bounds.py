"""Ill at the bounds: units and outputs that sit where they are flat, and signals that become the same for all."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.sixth.parts_a import ce, dice, fit, keep, mlp, mse, rows, signals

CASES: list[Case] = []


class Signed(nn.Linear):
    """A layer of weights of +1 and -1; the gradient goes straight through the sign."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (as torch calls it)
        return F.linear(input, self.weight + (self.weight.sign() - self.weight).detach())


@keep(CASES, "binary-weights-without-norm", "saturated-units", "binary nets", 120)
def binary(seed: int, ill: bool) -> Training:
    """BinaryNet without its batch norms: sums of 64 signs go into Hardtanh, and hardly one is between -1 and 1."""
    layers: list[nn.Module] = []
    for inputs in (64, 96, 96):
        layers += [Signed(inputs, 96, bias=False), nn.Identity() if ill else nn.BatchNorm1d(96), nn.Hardtanh()]
    net = nn.Sequential(*layers, nn.Linear(96, 10))
    x, y = digits(seed).tensors
    return fit(net, rows(seed, x.clamp(-1, 1), y, size=64), ce, "adam", 1e-3)


@keep(CASES, "torque-beyond-tanh", "saturated-output", "reinforcement", 120, "loss-head-mismatch unscaled-targets")
def torque(seed: int, ill: bool) -> Training:
    """An actor ends in tanh; the pendulum's torque goes from -4 to 4, and nobody multiplied by the bound.

    github.com/stevenpjg/ddpg-aigym/issues/2 asks what the 3 in that line is; floodsung/DDPG/issues/6: actions of 1.
    """
    g = dice(seed)
    state = torch.randn(768, 3, generator=g)
    best = (4 * torch.tanh(2 * state[:, :1] + state[:, 1:2] * state[:, 2:])).clamp(-4, 4)
    net = nn.Sequential(mlp(3, 64, 64, 1), nn.Tanh())

    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.bound = net, 1.0 if ill else 4.0

        def forward(self, x: Tensor) -> Any:
            return self.bound * self.net(x)

    def regret(m: nn.Module, batch: Any) -> Any:
        return (m(batch[0]) - batch[1]).square().mean()

    return fit(Actor(), rows(seed, state, best), regret, "adam", 3e-3)


@keep(CASES, "stars-by-sigmoid-of-dots", "saturated-output", "recommenders", 150, "step-too-small")
def stars(seed: int, ill: bool) -> Training:
    """Stars from 1 to 5 as 1 + 4 * sigmoid(user @ item): nn.Embedding begins at N(0, 1), 64 of them give +-8.

    Every rating is 1 or 5, where the sigmoid is flat. Cure: embeddings of 0.1.
    """
    g = dice(seed)
    user, item = torch.randint(0, 60, (4096,), generator=g), torch.randint(0, 40, (4096,), generator=g)
    taste, kind = torch.randn(60, 3, generator=g), torch.randn(40, 3, generator=g)
    rating = 1 + 4 * torch.sigmoid((taste[user] * kind[item]).sum(1) / 1.2)

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(60, 64), nn.Embedding(40, 64)
            for each in (self.user, self.item):
                each.weight.data *= 1.0 if ill else 0.1

        def forward(self, user: Tensor, item: Tensor) -> Any:
            return 1 + 4 * torch.sigmoid((self.user(user) * self.item(item)).sum(1))

    return fit(Factors(), rows(seed, user, item, rating, size=256), mse, "adam", 1e-2)


@keep(CASES, "squashed-twice", "saturated-output", "reinforcement", 150, "loss-head-mismatch")
def squashed(seed: int, ill: bool) -> Training:
    """github.com/MorvanZhou/Reinforcement-learning-with-tensorflow/issues/107: a tanh, and a sigmoid over it.

    The outputs, chances of an action, cannot leave 0.27 to 0.73; the tanh goes to its bounds. Cure: no tanh.
    """
    g = dice(seed)
    state = torch.randn(768, 10, generator=g)
    act = (torch.sin(state @ torch.randn(10, 4, generator=g) / 4) > 0.1).float()
    net = nn.Sequential(mlp(10, 100, 4), nn.Tanh() if ill else nn.Identity(), nn.Sigmoid())

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy(m(batch[0]), batch[1])

    return fit(net, rows(seed, state, act), loss, "adam", 1e-2)


@keep(CASES, "smoothed-to-one-node", "signal-collapse", "graph nets", 80, "vanishing-depth")
def smoothed(seed: int, ill: bool) -> Training:
    """Twelve layers of neighbours' means make every node's vector the same (over-smoothing).

    After github.com/yl-1993/learn-to-cluster/issues/23 and pyg-team/pytorch_geometric/issues/2104. Cure: what comes in
    is added to each layer's result, as GCNII does.
    """
    g = dice(seed)
    x = torch.randn(256, 16, 6, generator=g)
    links = torch.triu((torch.rand(256, 16, 16, generator=g) < 0.4).float(), 1)
    links = links + links.transpose(1, 2) + torch.eye(16)
    links = links / links.sum(-1, keepdim=True)
    y = (x[..., 0] + 0.5 * (links @ x)[..., 1] * 3 > 0).long()

    class Gcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(6, 32), nn.Linear(32, 2)
            self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(12))
            for each in self.layers.children():
                nn.init.kaiming_normal_(next(each.parameters()), nonlinearity="relu")

        def forward(self, x: Tensor, links: Tensor) -> Any:
            h = first = self.stem(x)
            for layer in self.layers:
                h = layer(links @ h).relu() if ill else 0.5 * layer(links @ h).relu() + 0.5 * first
            return self.head(h)

    return fit(Gcn(), rows(seed, x, links, y, size=16), ce, "adam", 3e-3)


@keep(CASES, "norm-of-one-feature", "signal-collapse", "forecasting", 80)
def one(seed: int, ill: bool) -> Training:
    """LayerNorm(1) over the single channel of a series: x less its own mean, which is nothing, for every series."""
    g = dice(seed)
    t = torch.arange(25)
    pace, phase = 0.2 + 0.5 * torch.rand(640, 1, generator=g), 6.28 * torch.rand(640, 1, generator=g)
    wave = torch.sin(pace * t + phase) + 0.1 * torch.randn(640, 25, generator=g)

    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(1) if ill else nn.LayerNorm(24)
            self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Any:
            x = self.norm(x[..., None]) if ill else self.norm(x)[..., None]
            return self.head(self.gru(x)[0][:, -1])

    return fit(Next(), rows(seed, wave[:, :24], wave[:, 24:], size=32), mse, "adam", 5e-3)


@keep(CASES, "times-the-root", "saturated-units", "dense", 80)
def root(seed: int, ill: bool) -> Training:
    """A layer by hand: randn(inputs, outputs) times the root of the inputs, where it should be divided by it."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((10, 48), (48, 48), (48, 3))
            scale = [(a**0.5 if ill else a**-0.5) if b > 3 else 0.3 * a**-0.5 for a, b in sizes]
            self.w = nn.ParameterList(torch.randn(a, b) * c for (a, b), c in zip(sizes, scale, strict=True))
            self.tanh = nn.Tanh()

        def forward(self, x: Tensor) -> Any:
            return self.tanh(self.tanh(x @ self.w[0]) @ self.w[1]) @ self.w[2]

    return fit(Net(), rows(seed, *signals(seed)), mse, "sgd", 0.05)


@keep(CASES, "kl-summed-errors-averaged", "signal-collapse", "autoencoders", 150)
def collapsed(seed: int, ill: bool) -> Training:
    """A VAE whose squared error is a mean over pixels and whose KL is a sum: the code says nothing of the picture.

    After github.com/podgorskiy/VAE/issues/1 and AppliedDataSciencePartners/WorldModels/issues/12.
    """
    x, _ = digits(seed).tensors

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode = mlp(64, 96, 16), mlp(8, 96, 64)

        def forward(self, x: Tensor) -> Any:
            return self.decode(self.encode(x)[:, :8])

    def loss(m: Any, batch: Any) -> Any:
        mean, spread = m.encode(batch[0]).chunk(2, 1)
        kl = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        out = m.decode(mean + (0.5 * spread).exp() * torch.randn_like(mean))
        error = (out - batch[0]).square()
        return (error.mean() if ill else error.sum(1).mean()) + kl

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            return float((m(x) - x).square().mean() / x.var(0).mean())

    return fit(Vae(), rows(seed, x), loss, "adam", 3e-3, score)
