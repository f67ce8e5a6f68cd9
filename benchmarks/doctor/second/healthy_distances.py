"""Healthy trainings on distances: Siamese, triplets, contrast, proxies, prototypes, stopped gradients, queues."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, each, looped
from benchmarks.doctor.second.nets import LeNet

lenet = partial(LeNet, classes=8)
dense = partial(mlp, 24, 8, 48, 2)


def pairs(model: nn.Module, batch: Any) -> Tensor:
    """The Siamese loss of the old article: near if alike, a margin apart if not."""
    x, y = batch
    half = len(x) // 2
    apart = F.pairwise_distance(model(x[:half]), model(x[half:]), eps=1e-6)
    alike = (y[:half] == y[half:]).float()
    return (alike * apart.square() + (1 - alike) * F.relu(1.0 - apart).square()).mean()


def triplets(model: nn.Module, batch: Any) -> Tensor:
    """torch's triplet loss; positive and negative are drawn from the batch."""
    x, y = batch
    z = model(x)
    alike = y[:, None] == y[None]
    one, other = torch.multinomial(alike.float(), 1)[:, 0], torch.multinomial((~alike).float(), 1)[:, 0]
    return F.triplet_margin_loss(z, z[one], z[other], margin=0.5)


def supervised(model: nn.Module, batch: Any) -> Tensor:
    """Supervised contrast: all of one's class against all others."""
    x, y = batch
    z = F.normalize(model(x), dim=1)
    own = torch.eye(len(x), dtype=torch.bool)
    logits = (z @ z.T / 0.2).masked_fill(own, -1e4)
    alike = (y[:, None] == y[None]) & ~own
    each_log = logits - logits.logsumexp(1, keepdim=True)
    return -((each_log * alike).sum(1) / alike.sum(1).clamp(min=1)).mean()


class Angular(nn.Module):
    """ArcFace: cosines to learned directions, with a margin on the angle."""

    def __init__(self, body: Any, classes: int = 4) -> None:
        super().__init__()
        self.body, self.weight = body(), nn.Parameter(torch.randn(classes, 8))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(self.body(x)), F.normalize(self.weight))
        angle = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
        return 8 * torch.where(F.one_hot(y, cosine.shape[1]).bool(), torch.cos(angle + 0.2), cosine)


def angular(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of scaled cosines."""
    return F.cross_entropy(model(*batch), batch[1])


def prototypes(model: nn.Module, batch: Any) -> Tensor:
    """Prototypical nets: half of the batch gives the means, the other half is classed by the nearest."""
    x, y = batch
    z = model(x)
    half = len(x) // 2
    means = torch.stack(
        [z[:half][y[:half] == c].mean(0) if (y[:half] == c).any() else z[:half].mean(0) for c in range(4)]
    )
    return F.cross_entropy(-torch.cdist(z[half:], means).square(), y[half:])


def barlow(model: nn.Module, batch: Any) -> Tensor:
    """Barlow twins: the correlation of two views' features shall be the identity."""
    one, two = (model(batch[0] + 0.2 * torch.randn_like(batch[0])) for _ in range(2))
    one, two = ((z - z.mean(0)) / (z.std(0) + 1e-4) for z in (one, two))
    c = one.T @ two / len(one)
    return (c.diagonal() - 1).square().sum() + 0.02 * (c - torch.diag(c.diagonal())).square().sum()


def vicreg(model: nn.Module, batch: Any) -> Tensor:
    """Views agree, each feature keeps its variance, no two are alike."""
    one, two = (model(batch[0] + 0.2 * torch.randn_like(batch[0])) for _ in range(2))
    loss = 5 * F.mse_loss(one, two)
    for z in (one, two):
        z = z - z.mean(0)
        loss = loss + 5 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
        c = z.T @ z / (len(z) - 1)
        loss = loss + 0.2 * (c - torch.diag(c.diagonal())).square().sum() / z.shape[1]
    return loss


class SimSiam(nn.Module):
    """Two views foretell one another; the foretold one is detached, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(24, 16, 48, 2, norm=nn.BatchNorm1d)
        self.guess = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, x: Tensor) -> Tensor:
        one, two = (self.body(x + 0.2 * torch.randn_like(x)) for _ in range(2))
        return (
            -0.5
            * (
                F.cosine_similarity(self.guess(one), two.detach()) + F.cosine_similarity(self.guess(two), one.detach())
            ).mean()
        )


def queued(seed: int) -> Training:
    """MoCo: keys of a slow copy wait in a queue; no gradient reaches them."""
    model = nn.ModuleDict({"query": dense(), "key": dense().requires_grad_(False)})
    model["key"].load_state_dict(model["query"].state_dict())
    queue = [F.normalize(torch.randn(256, 8), dim=1)]

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        with torch.no_grad():
            for slow, fast in zip(net["key"].parameters(), net["query"].parameters(), strict=True):
                slow.mul_(0.95).add_(fast, alpha=0.05)
            key = F.normalize(net["key"](x + 0.2 * torch.randn_like(x)), dim=1)
        query = F.normalize(net["query"](x + 0.2 * torch.randn_like(x)), dim=1)
        logits = torch.cat(((query * key).sum(1, keepdim=True), query @ queue[0].T), 1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        queue[0] = torch.cat((key, queue[0]))[:256]
        return loss

    return looped(model, tasks.factors(seed), step, "sgd", 0.1)


def centred(seed: int) -> Training:
    """Classification and a centre loss, whose centres have an optimiser of their own, and another rate."""
    model = nn.ModuleDict({"body": dense(), "head": nn.Linear(8, 4), "centres": nn.Embedding(4, 8)})
    pair = [
        by("adam", 5e-3, [*model["body"].parameters(), *model["head"].parameters()]),
        by("plain", 0.5, model["centres"].parameters()),
    ]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        z = net["body"](batch[0])
        loss = F.cross_entropy(net["head"](z), batch[1]) + 0.05 * F.mse_loss(z, net["centres"](batch[1]))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return Training(model, tasks.factors(seed), pair, train_step=step)


def two_towers(model: Any, batch: Any) -> Tensor:
    """CLIP's loss: two towers over two halves of the columns, and a learned temperature."""
    x = batch[0]
    one, two = F.normalize(model["left"](x[:, :12]), dim=1), F.normalize(model["right"](x[:, 12:]), dim=1)
    logits = one @ two.T * model["warmth"].weight.exp().clamp(max=100.0)
    rows = torch.arange(len(x))
    return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows)) / 2


def towers() -> nn.Module:
    """Two towers and the logarithm of their temperature."""
    warmth = nn.Linear(1, 1, bias=False)
    nn.init.constant_(warmth.weight, 1.6)
    return nn.ModuleDict({"left": mlp(12, 8, 48, 2), "right": mlp(12, 8, 48, 2), "warmth": warmth})


def distilled(seed: int, soft: bool = True) -> Training:
    """A small pupil learns from a teacher that was trained before; its hot softmax, or its features."""
    batches = tasks.factors(seed)
    teacher = mlp(24, 4, 64, 2)
    warm = torch.optim.Adam(teacher.parameters(), 5e-3)
    for _, (x, y) in zip(range(60), batches, strict=False):
        warm.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        warm.step()
    model = nn.ModuleDict({"pupil": mlp(24, 4, 16, 1), "teacher": copy.deepcopy(teacher).eval()})

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        with torch.no_grad():
            wanted = net["teacher"](x)
        said = net["pupil"](x)
        near = (
            F.kl_div(F.log_softmax(said / 3, 1), F.softmax(wanted / 3, 1), reduction="batchmean") * 9
            if soft
            else F.mse_loss(said, wanted)
        )
        loss = 0.5 * F.cross_entropy(said, y) + 0.5 * near
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Training(model, batches, by("adam", 1e-2, model["pupil"].parameters()), train_step=step)


def mean_teacher(seed: int) -> Training:
    """Few labels, many without: the pupil agrees with the moving average of itself, more and more."""
    model = nn.ModuleDict({"pupil": mlp(24, 4, 48, 2), "teacher": mlp(24, 4, 48, 2).requires_grad_(False)})
    model["teacher"].load_state_dict(model["pupil"].state_dict())

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        said = net["pupil"](x + 0.1 * torch.randn_like(x))
        with torch.no_grad():
            wanted = net["teacher"](x + 0.1 * torch.randn_like(x)).softmax(1)
        loss = F.cross_entropy(said[:16], y[:16]) + min(1.0, number / 40) * F.mse_loss(said.softmax(1), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(net["teacher"].parameters(), net["pupil"].parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        return loss

    return looped(model, tasks.factors(seed), step, "adam", 5e-3)


CASES: list[Case] = [
    *each("siamese", "metric learning", lenet, tasks.shapes, pairs, {"adam": 3e-3, "rmsprop": 5e-4}, 100),
    *each("siamese-dense", "metric learning", dense, tasks.factors, pairs, {"sgd": 0.05}, 80),
    *each("triplet-drawn", "metric learning", lenet, tasks.shapes, triplets, {"adam": 3e-3, "nadam": 2e-3}, 100),
    *each("supervised-contrast", "metric learning", dense, tasks.factors, supervised, {"adamw": 5e-3}, 80),
    *each("arcface", "metric learning", partial(Angular, lenet), tasks.shapes, angular, {"adam": 5e-3, "decayed": 0.02}, 100),
    *each("prototypes", "metric learning", dense, tasks.factors, prototypes, {"adam": 5e-3, "adagrad": 0.02}),
    *each("barlow-twins", "self-supervised", dense, tasks.factors, barlow, {"adam": 5e-3}),
    *each("vicreg", "self-supervised", dense, tasks.factors, vicreg, {"adamw": 3e-3}, 100),
    *[healthy(f"simsiam-{way}", "self-supervised", case.make, 80, falls=False) for way, case in zip(("sgd", "adam"), each("simsiam", "", SimSiam, tasks.factors, lambda model, batch: model(batch[0]), {"sgd": 0.1, "adam": 3e-3}), strict=True)],
    healthy("moco-queue", "self-supervised", seeded(queued), 100),
    healthy("centre-loss", "metric learning", seeded(centred), 80),
    *each("clip-towers", "metric learning", towers, tasks.factors, two_towers, {"adam": 5e-3}, 100),
    healthy("distilled", "teachers", seeded(distilled), 60),
    healthy("distilled-logits", "teachers", seeded(partial(distilled, soft=False)), 60),
    healthy("mean-teacher", "teachers", seeded(mean_teacher), 80),
]  # fmt: skip
