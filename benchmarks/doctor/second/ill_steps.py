"""Ill in scale and step: raw inputs and targets, rates, decay, schedules, tiny batches under a norm, swings."""
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
from benchmarks.doctor.second.common import by, classify, left_over, squared, wrong_share
from benchmarks.doctor.second.healthy_distances import SimSiam
from benchmarks.doctor.second.nets import LeNet, PointNet, Waves
from benchmarks.doctor.second.pool import POOL, from_pool


def raw(seed: int, ill: bool, kind: str) -> Training:
    """Inputs as they were measured. Cured: mean 0, variance 1."""
    if kind in ("wine", "cancer"):
        columns, classes = (13, 3) if kind == "wine" else (30, 2)
        net = mlp(columns, classes, 32, 2, nn.Tanh if kind == "cancer" else nn.ReLU)
        return Training(net, tasks.measured(seed, kind, raw=ill), by("sgd", 0.02, net.parameters()), classify)
    if kind == "bytes":
        return from_pool(seed, "lenet", make=lambda s: tasks.shapes(s, raw=ill), rate=0.03)
    if kind == "bytes-mixer":
        net = nn.Sequential(nn.Flatten(), mlp(144, 4, 48, 2, nn.Tanh))
        return Training(net, tasks.shapes(seed, raw=ill), by("adam", 2e-3, net.parameters()), classify)
    if kind == "kelvin":  # a series that sways by one around 20,000
        x, y = tasks.series(seed).tensors
        return from_pool(seed, "waves", make=lambda s: Batches((x + (2e4 if ill else 0.0), y), 32, s))
    if kind == "millimetres":
        x, y = tasks.clouds(seed).tensors
        return from_pool(
            seed, "pointnet", make=lambda s: Batches((5e3 * x + 2e4 if ill else x, y), 24, s), way="sgd", rate=0.02
        )
    x, adjacency, y = next(iter(tasks.community(seed)))  # "degrees": one column of a graph's nodes is an income
    x = x.clone()
    x[:, 7] = x[:, 7] * (1e5 if ill else 1.0) + (3e5 if ill else 0.0)
    return from_pool(seed, "gcn", make=lambda s: [(x, adjacency, y)] * 200)


def far(seed: int, ill: bool, kind: str) -> Training:
    """Targets in their own unit. Cured: mean 0, variance 1. Scored in the targets' deviation."""
    scale, shift = {
        "diabetes": (77.0, 152.0),
        "sales": (2e4, 1e5),
        "bright": (5e3, 0.0),
        "volume": (1.0, 1500.0),
        "rewards": (1e5, 0.0),
        "gaussian": (3e3, 2e4),
    }[kind]
    name = {"sales": "beats", "bright": "siren"}.get(kind, "trees")
    batches = tasks.diabetes(seed) if kind == "diabetes" else POOL[name].make(seed)
    if kind == "volume":
        x = tasks.clouds(seed).tensors[0]
        batches = Batches((x, tasks.standard(x.square().mean((1, 2))[:, None])), 24, seed)
    x, y = batches.tensors
    made = Batches((x, y * scale + shift if ill else y), batches.size, seed)
    score = left_over(batches, lambda out: (out - shift) / scale if ill else out)
    nets: dict[str, Any] = {
        "diabetes": partial(mlp, 10, 1, 32, 1),
        "volume": partial(PointNet, 1),
        "rewards": partial(mlp, 10, 1, 48, 2, nn.Tanh),
    }
    return from_pool(seed, name, net=nets.get(kind, POOL[name].net), make=lambda s: made, score=score, loss=squared)


LARGE = {
    "vit": 0.5,
    "lenet": 3.0,
    "gpt": 0.5,
    "seq2seq": 1.0,
    "gcn": 20.0,
    "siren": 0.5,
    "fields": 20.0,
    "listener": 1.0,
}
SMALL = {"vit": 1e-8, "lenet": 1e-7, "tagger": 1e-7, "siren": 1e-8, "pointnet": 1e-8, "gat": 1e-7}


def rated(seed: int, ill: bool, name: str, rate: float) -> Training:
    """A rate of orders of magnitude too much or too little."""
    return from_pool(seed, name, **({"rate": rate} if ill else {}))


def summed(seed: int, ill: bool) -> Training:
    """A loss that is summed over 512 samples, under a rate for means."""
    net = mlp(24, 4, 48, 2)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum" if ill else "mean")

    return Training(
        net, tasks.factors(seed, 512), by("sgd", 0.1, net.parameters()), loss, score=wrong_share(tasks.factors(seed))
    )


def per_batch(seed: int, ill: bool, kind: str) -> Training:
    """A schedule meant per epoch that is stepped per batch; or a warm-up that would take a million steps."""
    well = POOL["lenet" if kind == "decays" else "vit"]
    net = well.net()
    optimizer = by(well.way, well.rate, net.parameters())
    rates = torch.optim.lr_scheduler
    if kind == "decays":
        schedule: Any = rates.StepLR(optimizer, 1 if ill else 30, gamma=0.1)
    else:
        schedule = rates.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / (1e7 if ill else 10)))

    def step(model: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        loss = classify(model, batch)
        loss.backward()
        stepper.step()
        schedule.step()
        return loss

    return Training(net, well.make(seed), optimizer, train_step=step)


def tiny(seed: int, ill: bool, kind: str) -> Training:
    """Batch norm over two samples. Cured: 32 of them."""
    size = 2 if ill else 32
    if kind == "pointnet":
        net: nn.Module = nn.Sequential(PointNet(32, norm=True), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
        make: Any = tasks.clouds
    elif kind == "lenet":
        lenet = LeNet()
        lenet.fc1, lenet.fc2 = (
            nn.Sequential(nn.Linear(16, 48), nn.BatchNorm1d(48)),
            nn.Sequential(nn.Linear(48, 32), nn.BatchNorm1d(32)),
        )  # type: ignore[assignment]
        net, make = lenet, tasks.shapes
    elif kind == "table":
        net, make = mlp(13, 3, 32, 3, nn.GELU, nn.BatchNorm1d), tasks.measured  # type: ignore[arg-type]
    elif kind == "words":
        net = nn.Sequential(
            nn.EmbeddingBag(12, 24),
            nn.BatchNorm1d(24),
            nn.ReLU(),
            nn.Linear(24, 24),
            nn.BatchNorm1d(24),
            nn.ReLU(),
            nn.Linear(24, 4),
        )
        make = partial(tasks.first_word, length=3)
    else:
        net = nn.Sequential(nn.Unflatten(1, (1, 24)), nn.Conv1d(1, 12, 5, 2), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Conv1d(12, 24, 1), nn.BatchNorm1d(24), nn.ReLU(),
                            nn.Conv1d(24, 24, 1), nn.BatchNorm1d(24), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4))  # fmt: skip
        make = tasks.factors
    return Training(
        net,
        make(seed, size=size),
        by("adam", 5e-3, net.parameters()),
        classify,
        score=wrong_share(make(seed, size=128)),
    )


class Edge(nn.Module):
    """A linear forecast, whose curvature is known."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


def swings(seed: int, ill: bool, kind: str) -> Training:
    """The loss goes up and down for ever."""
    if kind == "forecast":  # least squares at the edge of what is stable
        x, y = tasks.series(seed).tensors
        net: nn.Module = Edge()
        curve = float(2 * torch.linalg.eigvalsh(x.T @ x / len(x))[-1]) / 8
        rate = (1.9998 if ill else 0.8) / curve
        return Training(
            net, Batches((x[:1024], y[:1024]), 1024, seed), torch.optim.SGD(net.parameters(), rate), squared
        )
    if kind == "waves":
        net = Waves()
        return Training(
            net, tasks.series(seed), torch.optim.SGD(net.parameters(), 1.5 if ill else 0.1, momentum=0.9), squared
        )
    if kind == "ode":
        return from_pool(seed, "ode", way="sgd", rate=0.35 if ill else 0.05)
    if kind == "inertia":  # momentum of 0.999
        net = mlp(10, 1, 48, 2, nn.Tanh)
        return Training(
            net, tasks.trees(seed), torch.optim.SGD(net.parameters(), 0.05, momentum=0.999 if ill else 0.9), squared
        )
    net = mlp(13, 3, 32, 2, nn.Tanh)
    return Training(
        net,
        tasks.measured(seed),
        torch.optim.SGD(net.parameters(), 2.5 if ill else 0.1, momentum=0.9 if ill else 0.5),
        classify,
    )


def decayed(seed: int, ill: bool, kind: str) -> Training:
    """A weight decay that leaves nothing of the weights."""
    well = POOL[kind]
    net = well.net()
    step: Any = (
        torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=3.0 if ill else 1e-4)
        if kind == "lenet"
        else torch.optim.AdamW(net.parameters(), 5e-3, weight_decay=100.0 if ill else 0.01)
    )
    return Training(net, well.make(seed), step, well.loss)


def collapses(seed: int, ill: bool) -> Training:
    """SimSiam whose other branch is not detached, with no norm: both views become one point. Scored by the spread."""
    net: Any = SimSiam()
    if ill:
        net.body, net.guess = mlp(24, 16, 48, 2), nn.Identity()

    def loss(model: Any, batch: Any) -> Tensor:
        if not ill:
            return model(batch[0])
        one, two = (model.body(batch[0] + 0.2 * torch.randn_like(batch[0])) for _ in range(2))
        return F.mse_loss(one, two)

    held = next(iter(tasks.factors(seed)))[0]

    def score(model: Any) -> float:
        z = F.normalize(model.body(held), dim=1)
        return max(0.0, 1 - float(z.std(0).mean()) * 4)

    return Training(net, tasks.factors(seed), by("adam", 2e-2 if ill else 3e-3, net.parameters()), loss, score=score)


CASES: list[Case] = [
    *[ill(f"raw-{kind}", "unscaled-inputs", family, partial(raw, kind=kind), 60) for kind, family in (
        ("wine", "tables"), ("cancer", "tables"), ("bytes", "tutorials"), ("bytes-mixer", "dense"), ("kelvin", "forecasting"), ("millimetres", "sets"), ("degrees", "graph nets"))],
    *[ill(f"far-{kind}", "unscaled-targets", family, partial(far, kind=kind), 80) for kind, family in (
        ("diabetes", "tables"), ("sales", "forecasting"), ("bright", "coordinates"), ("volume", "sets"), ("rewards", "tables"))],
    *[ill(f"large-{name}", "step-too-large", POOL[name].family, partial(rated, name=name, rate=rate), 60, "oscillation dead-units saturated-units signal-collapse") for name, rate in LARGE.items()],
    ill("large-sum", "step-too-large", "dense", summed, 60, "oscillation dead-units signal-collapse nan-forward overflow-forward"),
    *[ill(f"small-{name}", "step-too-small", POOL[name].family, partial(rated, name=name, rate=rate), 60) for name, rate in SMALL.items()],
    *[ill(f"schedule-{kind}", "step-too-small", "schedules", partial(per_batch, kind=kind), 60) for kind in ("decays", "warms")],
    *[ill(f"two-{kind}", "batchnorm-tiny-batch", family, partial(tiny, kind=kind), 80) for kind, family in (
        ("pointnet", "sets"), ("lenet", "tutorials"), ("table", "tables"), ("words", "embeddings"), ("sound", "convolutional"))],
    *[ill(f"swing-{kind}", "oscillation", family, partial(swings, kind=kind), 80, "step-too-large") for kind, family in (
        ("forecast", "forecasting"), ("waves", "forecasting"), ("ode", "implicit"), ("inertia", "tables"), ("wine", "tables"))],
    *[ill(f"decay-{kind}", "signal-collapse", POOL[kind].family, partial(decayed, kind=kind), 60, "step-too-large vanishing-depth dead-units") for kind in ("lenet", "gpt", "pointnet")],
    ill("views-become-one", "signal-collapse", "self-supervised", collapses, 100),
]  # fmt: skip
