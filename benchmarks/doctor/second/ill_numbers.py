"""Ill in numbers: NaN in forward or backward, overflow, what sixteen bits cannot hold."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, squared
from benchmarks.doctor.second.nets import LeNet
from benchmarks.doctor.second.pool import POOL, from_pool


class Via(nn.Module):
    """A body, a formula, a head."""

    def __init__(self, body: nn.Module, formula: Any, head: nn.Module) -> None:
        super().__init__()
        self.body, self.formula, self.head = body, formula, head

    def forward(self, *x: Tensor) -> Tensor:
        return self.head(self.formula(self.body(*x)))


def plain(net: nn.Module, batches: Any, loss: Any = classify, rate: float = 3e-3) -> Training:
    """Return a training by Adam."""
    return Training(net, batches, by("adam", rate, net.parameters()), loss)


class Neighbours(nn.Module):
    """Attention over neighbours; a node without any is a row of minus infinities."""

    def __init__(self, guard: bool) -> None:
        super().__init__()
        self.guard, self.layer, self.score, self.out = guard, nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(16, 3)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x))
        energy = self.score(h)[:, 0].expand(len(x), -1).masked_fill(links == 0, -1e9 if self.guard else float("-inf"))
        return self.out(h + energy.softmax(1) @ h)


def nan_forward(seed: int, ill: bool, kind: str) -> Training:
    """Log of what is below zero, a deviation of one sample, a masked row. Cured: a guard."""
    if kind == "lonely-node":
        x, links, y = next(iter(tasks.community(seed)))
        links = links.clone()
        links[7] = 0.0
        return plain(Neighbours(not ill), [(x, links, y)] * 50)
    if kind == "log-returns":  # the logarithm of a series that crosses zero
        x, y = tasks.series(seed).tensors

        def logs(h: Tensor) -> Tensor:
            return torch.log(h + 1.5) if ill else torch.log(h.clamp(min=-1.4) + 1.5)

        return plain(Via(nn.Identity(), logs, mlp(32, 8, 48, 2)), Batches((x, y), 32, seed), squared)
    if kind == "lonely-deviation":  # each sample standardised over an axis of one

        def own(h: Tensor) -> Tensor:
            h = h[:, None] if ill else h
            return ((h - h.mean(1, keepdim=True)) / (h.std(1, keepdim=True) + 1e-6)).flatten(1)

        return plain(Via(mlp(24, 16, 48, 1), own, nn.Linear(16, 4)), tasks.factors(seed))
    model = mlp(24, 4, 48, 2)  # "entropy": p log p at p = 0

    def loss(net: nn.Module, batch: Any) -> Tensor:
        p = (40 * net(batch[0])).softmax(1) if ill else net(batch[0]).softmax(1)
        p = torch.where(p < 1e-5, torch.zeros_like(p), p) if ill else p
        return F.cross_entropy(net(batch[0]), batch[1]) + 0.01 * (p * torch.log(p)).sum(1).mean()

    return plain(model, tasks.factors(seed), loss)


def nan_backward(seed: int, ill: bool, kind: str) -> Training:
    """The value is finite, its derivative is not."""
    small = 0.0 if ill else 1e-8
    if kind == "siamese-root":  # the distance of a picture to itself

        def loss(net: nn.Module, batch: Any) -> Tensor:
            z = net(batch[0])
            other = z[torch.randint(0, len(z), (len(z),))]
            alike = torch.arange(len(z)) % 4 == 0
            other = torch.where(alike[:, None], z, other)
            apart = ((z - other).pow(2).sum(1) + small).sqrt()
            return torch.where(alike, apart.square(), F.relu(1 - apart).square()).mean()

        return plain(LeNet(classes=8), tasks.shapes(seed), loss)
    if kind == "penalty":  # the slope of a critic of ReLUs that are off

        def critic(net: nn.Module, batch: Any) -> Tensor:
            x = batch[0].clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
            return (
                F.mse_loss(net(x)[:, 0], 2.0 * batch[1] - 1)
                + 0.1 * ((slope.square().sum(1) + small).sqrt() - 1).square().mean()
            )

        net: Any = mlp(2, 1, 4, 1)
        nn.init.constant_(net[0].bias, -0.2)
        return plain(net, tasks.rings(seed), critic, 1e-2)

    def rooted(h: Tensor) -> Tensor:
        if kind == "geometric":  # the geometric mean of factors some of which are zero
            return h + (F.relu(h) + (0.0 if ill else 1e-2)).prod(1, keepdim=True).pow(1 / 8)
        return torch.where(h > 0, (h if ill else h.clamp(min=1e-4)).sqrt(), torch.zeros_like(h))

    return plain(Via(nn.Linear(24, 8), rooted, mlp(8, 4, 32, 1)), tasks.factors(seed))


def overflows(seed: int, ill: bool, kind: str) -> Training:
    """A float32 that is too large. Cured: what keeps it in range."""
    if kind == "variance":  # the exponential of a log variance that nobody bounds
        model: Any = nn.ModuleDict({"encoder": mlp(24, 12, 48, 1), "decoder": mlp(6, 24, 48, 1)})
        if ill:
            with torch.no_grad():
                model["encoder"][-1].weight[6:].mul_(400.0)

        def loss(net: Any, batch: Any) -> Tensor:
            mean, log = net["encoder"](batch[0]).chunk(2, 1)
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * log)
            return F.mse_loss(net["decoder"](z), batch[0]) + 0.01 * (log.exp() + mean**2 - 1 - log).mean()

        return plain(model, tasks.factors(seed), loss)
    if kind == "sums":  # a graph whose neighbours are summed forty times

        def spread(h: Tensor) -> Tensor:
            links = (next(iter(tasks.community(seed)))[1] > 0).float()
            links = links if ill else links / links.sum(1, keepdim=True)
            for _ in range(60):
                h = links @ h
            return h

        x, _, y = next(iter(tasks.community(seed)))
        return plain(Via(nn.Linear(8, 16), lambda h: h + spread(h), nn.Linear(16, 3)), [(x, y)] * 100, rate=1e-2)
    if kind == "attention":  # softmax written out, without the largest taken off

        def weigh(h: Tensor) -> Tensor:
            scores = 300 * h
            e = (scores if ill else scores - scores.amax(1, keepdim=True)).exp()
            return e / e.sum(1, keepdim=True)

        return plain(Via(mlp(24, 16, 32, 1), weigh, nn.Linear(16, 4)), tasks.factors(seed), rate=1e-2)
    if kind == "flow":  # scales that are not squashed before exp
        net = Via(mlp(24, 24, 48, 1), lambda h: torch.exp((600 * h) if ill else torch.tanh(h)), nn.Linear(24, 4))
        return plain(net, tasks.factors(seed))

    def euler(h: Tensor) -> Tensor:  # "stiff": Euler's steps are far too long
        for _ in range(60):
            h = h + (0.9 if ill else 0.01) * (h - 0.1 * h**3)
        return h

    return plain(Via(nn.Linear(24, 16), lambda h: euler(5 * h if ill else h), nn.Linear(16, 4)), tasks.factors(seed))


class Inner(nn.Module):
    """A body under autocast in float16 (cured: bfloat16), with float32 around it."""

    def __init__(self, body: nn.Module, width: int, out: int, ill: bool, times: float = 1.0) -> None:
        super().__init__()
        self.body, self.times, self.kind = body, times, torch.float16 if ill else torch.bfloat16
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.kind):
            h = self.body(x * self.times)
        return self.out(self.norm(h.float().flatten(1)))


class Pairs(nn.Module):
    """Unscaled dot products of points, and their softmax."""

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ (x.transpose(1, 2) * 8)).softmax(-1) @ x).mean(1)


class SquaredRelu(nn.Module):
    """The square of what is above zero."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


def half_overflow(seed: int, ill: bool, kind: str) -> Training:
    """Above 65,504. Cured: bfloat16."""
    if kind == "points":
        return plain(Inner(nn.Sequential(nn.Linear(3, 24), Pairs()), 24, 3, ill, 200.0), tasks.clouds(seed))
    if kind == "bytes":
        body = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
        with torch.no_grad():
            body[2].weight.mul_(50)  # type: ignore[operator]
        return plain(Inner(body, 72, 4, ill, 3e4), tasks.shapes(seed))
    if kind == "squared-relu":
        return plain(
            Inner(nn.Sequential(nn.Linear(24, 48), SquaredRelu(), nn.Linear(48, 16)), 16, 4, ill, 900.0),
            tasks.factors(seed),
        )
    body = nn.Sequential(
        nn.Unflatten(1, (1, 32)), nn.Conv1d(1, 8, 5, 2), nn.ReLU(), nn.Conv1d(8, 8, 3, 2), nn.Flatten()
    )
    return plain(Inner(body, 48, 8, ill, 5e5), tasks.series(seed), squared)


def half_underflow(seed: int, ill: bool, kind: str) -> Training:
    """Gradients, or steps, too small for sixteen bits. Cured: float32."""
    if kind in ("weights-bf16", "weights-bf16-table"):  # weights in bfloat16: a step of a thousandth is rounded away
        dtype = torch.bfloat16 if ill else torch.float32
        net: nn.Module = (mlp(24, 4, 64, 2) if kind == "weights-bf16" else mlp(13, 3, 64, 2, nn.GELU)).to(dtype)

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return F.cross_entropy(model(batch[0].to(dtype)).float(), batch[1])

        batches = tasks.factors(seed) if kind == "weights-bf16" else tasks.measured(seed)
        return Training(net, batches, torch.optim.SGD(net.parameters(), 5e-3), loss)
    well = POOL[kind]

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16, enabled=ill):
            loss = well.loss(model, batch)
        (1e-7 * loss).backward()  # one of many losses, weighed as such; float32 holds it
        optimizer.step()
        return loss

    training = from_pool(seed, kind, way="adam", rate=min(well.rate, 5e-3))
    for group in training.optimizer.param_groups:
        group["eps"] = 1e-12
    return Training(training.model, training.batches, training.optimizer, train_step=step)


CASES: list[Case] = [
    *[ill(kind, "nan-forward", family, partial(nan_forward, kind=kind), 20) for kind, family in (
        ("lonely-node", "graph nets"), ("log-returns", "forecasting"), ("lonely-deviation", "dense"), ("entropy", "dense"))],
    *[ill(kind, "nan-backward", family, partial(nan_backward, kind=kind), 20) for kind, family in (
        ("siamese-root", "metric learning"), ("penalty", "games"), ("geometric", "dense"), ("where-root", "dense"))],
    *[ill(kind, "overflow-forward", family, partial(overflows, kind=kind), 20, also) for kind, family, also in (
        ("variance", "autoencoders", ""), ("sums", "graph nets", "exploding-depth"), ("attention", "dense", "nan-forward"), ("flow", "flows", ""), ("stiff", "implicit", "exploding-depth"))],
    *[ill(f"half-{kind}", "precision-overflow", family, partial(half_overflow, kind=kind), 20) for kind, family in (
        ("points", "sets"), ("bytes", "convolutional"), ("squared-relu", "dense"), ("sound", "forecasting"))],
    *[ill(f"half-{kind}", "precision-underflow", POOL[kind].family, partial(half_underflow, kind=kind), 60) for kind in ("lenet", "pointnet", "nerf", "labels")],
    *[ill(kind, "precision-underflow", family, partial(half_underflow, kind=kind), 600, "step-too-small") for kind, family in (("weights-bf16", "dense"), ("weights-bf16-table", "tables"))],
]  # fmt: skip
