"""Healthy: equations, processes, survival, shops, series and graphs."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import graphs
from benchmarks.doctor.sixth.nets_c import Attending, Blocks, Factors, Process, Sets
from benchmarks.doctor.sixth.parts_c import (
    Endless,
    Lit,
    adam,
    adamw,
    ce,
    dense,
    dice,
    down,
    keeper,
    loader,
    numbers,
    rows,
    sgd,
)  # fmt: skip

CASES: list[Case] = []
learns = keeper(CASES)


def slope(y: Tensor, x: Tensor) -> Tensor:
    """Return dy/dx that can be differentiated again."""
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


@learns("spring-by-its-equation", "physics", 200)
def spring(seed: int) -> Training:
    """A PINN of an oscillator: the residual of the equation outweighs the two conditions by far at first."""
    net = dense(1, 32, 32, 1, act=nn.Tanh)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        t = torch.rand(128, 1).requires_grad_(True)
        u = model(t)
        v = slope(u, t)
        zero = torch.zeros(1, 1, requires_grad=True)
        start = model(zero)
        rest = (slope(v, t) + 0.8 * v + 9 * u).square().mean()
        return down(optimizer, rest + 10 * ((start - 1).square().sum() + slope(start, zero).square().sum()))

    return Training(net, numbers(), adam(net, 5e-3), train_step=step)


class Weighted(nn.Module):
    """A net and weights of its places, which climb while the net descends."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.weights = dense(1, 32, 32, 1, act=nn.Tanh), nn.Parameter(torch.ones(64, 1))

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


@learns("equation-self-adaptive-weights", "physics", 200, falls=False)
def adaptive(seed: int) -> Training:
    """A saddle: the weights are maximised, so the whole loss may rise (github.com/levimcclenny/SA-PINNs/issues/5)."""
    net = Weighted()
    x = torch.linspace(-1, 1, 64)[:, None].requires_grad_(True)
    two = [adam(net.net, 5e-3), torch.optim.Adam([net.weights], 0.02, maximize=True)]
    ends = torch.tensor([[-1.0], [1.0]])

    def residual(model: Any) -> Any:
        return slope(slope(model(x), x), x) + math.pi**2 * torch.sin(math.pi * x)

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        loss: Tensor = (model.weights.square() * residual(model).square()).mean() + 50 * model(ends).square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    score = lambda m: float((m(x) - torch.sin(math.pi * x)).square().mean().detach())  # noqa: E731
    return Training(net, numbers(), two, train_step=step, score=score)


class Solved(nn.Module):
    """A vector field and ten steps of Runge and Kutta."""

    def __init__(self) -> None:
        super().__init__()
        self.field = dense(2, 48, 2, act=nn.Tanh)

    def forward(self, z: Tensor) -> Any:
        path, h = [], 0.2
        for _ in range(10):
            a = self.field(z)
            b = self.field(z + h / 2 * a)
            c = self.field(z + h / 2 * b)
            z = z + h / 6 * (a + 2 * b + 2 * c + self.field(z + h * c))
            path.append(z)
        return torch.stack(path, 1)


@learns("spiral-by-neural-ode", "physics", 120)
def spiral(seed: int) -> Training:
    """Forty calls of the same small net in a step; all its gradients add up."""
    start = torch.randn(256, 2, generator=dice(seed))
    turn = torch.matrix_exp(0.2 * torch.tensor([[-0.2, 2.0], [-2.0, -0.2]]))
    path = [start @ turn]
    for _ in range(9):
        path.append(path[-1] @ turn)
    net = Solved()
    data = rows(seed, start, torch.stack(path, 1), size=32)
    return Training(net, data, adam(net, 0.01), lambda m, b: F.l1_loss(m(b[0]), b[1]))


@learns("gaussian-process-deep-kernel", "processes", 120)
def process(seed: int) -> Training:
    """The loss turns negative at the end, and may (github.com/cornellius-gp/gpytorch/issues/1264)."""
    x = torch.randn(80, 2, generator=dice(seed))
    y = torch.sin(2 * x[:, 0]) * x[:, 1] + 0.02 * torch.randn(80, generator=dice(seed + 1))
    net = Process()
    return Training(net, rows(seed, x, y, size=80), adam(net, 0.03), lambda m, b: m(*b))


@learns("survival-by-partial-likelihood", "survival", 150, falls=False)
def survival(seed: int) -> Training:
    """Cox: the loss is the logarithm of who is still there, so it stays near 3 however good (github.com/Novartis/torchsurv/issues/40)."""
    g = dice(seed)
    x = torch.randn(1024, 8, generator=g)
    risk = x[:, 0] - x[:, 1] * x[:, 2]
    time = -torch.rand(1024, generator=g).clamp_min(1e-6).log() * torch.exp(-1.5 * risk)
    until = 2 * torch.rand(1024, generator=g)
    seen = (time < until).float()
    net = nn.Sequential(dense(8, 48, 48, 1, act=nn.SELU))

    def loss(model: nn.Module, batch: Any) -> Any:
        x, t, e = batch
        order = t.argsort(descending=True)
        h, e = model(x)[order, 0], e[order]
        return -((h - h.logcumsumexp(0)) * e).sum() / e.sum().clamp_min(1)

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            h = model(x)[:, 0]
        pairs = (time[:, None] < time[None]) & (seen[:, None] > 0)
        return 1 - float((h[:, None] > h[None])[pairs].float().mean())

    data = rows(seed, x, torch.minimum(time, until), seen)
    return Training(net, data, adam(net, 5e-3, weight_decay=1e-4), loss, score=score)


@learns("quantiles-three-at-once", "regression", 150)
def quantiles(seed: int) -> Training:
    """Pinball losses of 10, 50 and 90 per cent: gradients have but two sizes, and never vanish."""
    g = dice(seed)
    x = torch.rand(1024, 4, generator=g) * 2 - 1
    y = 3 * x[:, :1] * x[:, 1:2].abs() + (0.05 + 0.3 * x[:, 2:3].abs()) * torch.randn(1024, 1, generator=g)
    net, q = dense(4, 64, 64, 3), torch.tensor([0.1, 0.5, 0.9])

    def loss(model: nn.Module, batch: Any) -> Any:
        d = batch[1] - model(batch[0])
        return torch.maximum(q * d, (q - 1) * d).mean()

    return Training(net, rows(seed, x, y), adamw(net, 5e-3), loss)


@learns("clicks-by-deep-fm", "recommenders", 150)
def clicks(seed: int) -> Training:
    """One click in ten; entropy begins at 0.7, falls to that of the share, and then below; Adagrad."""
    g = dice(seed)
    x = (100 * torch.rand(4096, 8, generator=g).square()).long()
    taste = torch.randn(8, 100, generator=g)
    logit = taste.gather(1, x.T).sum(0) + taste[0, x[:, 0]] * taste[1, x[:, 1]] - 4
    y = (torch.rand(4096, generator=g) < logit.sigmoid()).float()
    net = Factors()

    def loss(model: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])

    return Training(net, rows(seed, x, y, size=256), torch.optim.Adagrad(net.parameters(), 0.03), loss)


@learns("pairs-of-items-bpr", "recommenders", 200)
def bpr(seed: int) -> Training:
    """Small factors: the loss stays at 0.693 for a while (github.com/xiangwang1223/neural_graph_collaborative_filtering/issues/33)."""
    g = dice(seed)
    user = torch.randint(0, 120, (6000,), generator=g)
    liked = (user * 7 + 12 * torch.randint(0, 8, (6000,), generator=g)) % 12 * 8 + torch.randint(
        0, 8, (6000,), generator=g
    )
    net: Any = nn.ModuleDict({"user": nn.Embedding(120, 16), "item": nn.Embedding(96, 16)})
    for each in net.values():
        nn.init.normal_(each.weight, std=0.01)

    def loss(model: Any, batch: Any) -> Any:
        u, good, bad = (
            model["user"](batch[0]),
            model["item"](batch[1]),
            model["item"](torch.randint(0, 96, batch[1].shape)),
        )
        reg = 1e-4 * (u.square() + good.square() + bad.square()).sum(1).mean()
        return -F.logsigmoid((u * (good - bad)).sum(1)).mean() + reg

    return Training(net, rows(seed, user, liked, size=512), adam(net, 0.01), loss)


@learns("season-by-n-beats", "series", 150)
def season(seed: int) -> Training:
    """The last block's account of the past leads nowhere, by design: its weights for it have no gradient."""
    g = dice(seed)
    t = torch.arange(30) + 24 * torch.rand(1024, 1, generator=g)
    y = (
        torch.sin(t * math.pi / 6) * (0.5 + torch.rand(1024, 1, generator=g))
        + 0.02 * t
        + 0.1 * torch.randn(1024, 30, generator=g)
    )
    net = Blocks()
    data = loader(seed, y[:, :24], y[:, 24:], size=64)
    return Training(Lit(net, lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]), 2e-3), data)


@learns("graphs-by-attention", "graphs", 150)
def attention(seed: int) -> Training:
    """Links that are not there get -1e9 before the softmax; some nodes see only themselves."""
    net = Attending()
    return Training(net, graphs(seed), adam(net, 5e-3, weight_decay=5e-4), ce)


@learns("largest-of-a-set", "sets", 200)
def sets(seed: int) -> Training:
    """New points in every step, none comes twice; the target is the largest first coordinate."""

    def draw(g: torch.Generator) -> Any:
        x = torch.rand(64, 16, 2, generator=g)
        return 2 * x - 1, 5 * (x[..., 0].max(1, keepdim=True).values - 0.94)

    net = Sets()
    return Training(net, Endless(draw, seed), adam(net, 3e-3), lambda m, b: F.mse_loss(m(b[0]), b[1]))


@learns("picture-by-sines", "fields", 150)
def sines(seed: int) -> Training:
    """A SIREN: sines of thirty times a sum, so activations cover all of -1 to 1; the edges are not saturation."""

    class Sine(nn.Module):
        def __init__(self, a: int, b: int, bound: float) -> None:
            super().__init__()
            self.linear = nn.Linear(a, b)
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Any:
            return torch.sin(20 * self.linear(x))

    at = torch.cartesian_prod(*(torch.linspace(-1, 1, 32),) * 2)
    y = torch.sin(9 * at[:, :1]) * torch.cos(7 * at[:, 1:]) + (at.norm(dim=1, keepdim=True) < 0.5).float()
    inner = (6 / 64) ** 0.5 / 20
    net = nn.Sequential(Sine(2, 64, 0.5), Sine(64, 64, inner), Sine(64, 64, inner), nn.Linear(64, 1))
    return Training(net, rows(seed, at, y, size=256), adam(net, 1e-3), lambda m, b: F.mse_loss(m(b[0]), b[1]))


@learns("counts-by-poisson", "regression", 120)
def counts(seed: int) -> Training:
    """Counts, mostly none; the net gives logarithms of rates, and the loss starts above and goes below zero."""
    g = dice(seed)
    x = torch.randn(1024, 6, generator=g)
    y = torch.poisson(torch.exp(1.2 * x[:, 0] + 0.6 * x[:, 1] * x[:, 2] - 0.2).clamp_max(30), generator=g)
    net = dense(6, 32, 32, 1)

    def loss(model: nn.Module, batch: Any) -> Any:
        return F.poisson_nll_loss(model(batch[0])[:, 0], batch[1])

    return Training(net, rows(seed, x, y), sgd(net, 0.01, 0.9), loss)


@learns("prices-by-evidence", "regression", 150)
def evidence(seed: int) -> Training:
    """A normal inverse gamma for each row; softplus heads, a likelihood below zero, a small penalty on wrong evidence."""
    g = dice(seed)
    x = torch.randn(1024, 5, generator=g)
    y = 0.5 * torch.tanh(x[:, :1] - x[:, 1:2]) + 0.05 * torch.randn(1024, 1, generator=g)
    net = dense(5, 48, 48, 4)

    def loss(model: nn.Module, batch: Any) -> Any:
        mean, v, a, b = model(batch[0]).split(1, 1)
        v, a, b = F.softplus(v) + 1e-3, F.softplus(a) + 1.001, F.softplus(b) + 1e-3
        twice, d = 2 * b * (1 + v), (batch[1] - mean)
        nll = 0.5 * torch.log(math.pi / v) - a * twice.log() + (a + 0.5) * torch.log(d.square() * v + twice)
        return (nll + torch.lgamma(a) - torch.lgamma(a + 0.5) + 0.01 * d.abs() * (2 * v + a)).mean()

    return Training(net, rows(seed, x, y), adam(net, 5e-3), loss)
