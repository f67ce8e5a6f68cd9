"""Healthy: learning by comparison: pairs, triplets, views, teachers."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fifth.healthy_parts import by, ce, dense, down, follow, named, own, plain
from benchmarks.doctor.fourth.data import questions


def view(x: Tensor) -> Tensor:
    """Return digits with noise and a few pixels away."""
    return (x + 0.3 * torch.randn_like(x)) * (torch.rand_like(x) > 0.1)


def normed(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    """Return a projector with a batch norm."""
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs))


class SimSiam(nn.Module):
    """Two views and a stop; the loss goes to -1, normal (facebookresearch/simsiam#21)."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.h = nn.Sequential(normed(64, 32), nn.BatchNorm1d(32, affine=False)), normed(32, 32, 16)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z1, z2 = self.f(view(x)), self.f(view(x))
        one = F.cosine_similarity(self.h(z1), z2.detach()).mean()
        return -0.5 * (one + F.cosine_similarity(self.h(z2), z1.detach()).mean())


def byol(seed: int) -> Training:
    """A slow copy is the goal; it never has a gradient."""
    model: Any = nn.ModuleDict({"online": normed(64, 32), "predictor": normed(32, 32, 48)})
    model["target"] = copy.deepcopy(model["online"]).requires_grad_(False)

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        one, two = view(batch[0]), view(batch[0])
        with torch.no_grad():
            goals = m["target"](two), m["target"](one)
        said = m["predictor"](m["online"](one)), m["predictor"](m["online"](two))
        loss = sum((2 - 2 * F.cosine_similarity(p, z)).mean() for p, z in zip(said, goals, strict=True))
        down(optimizer, torch.as_tensor(loss))
        follow(m["target"], m["online"], 0.98)
        return torch.as_tensor(loss)

    return Training(model, digits(seed), by("adam", model.parameters(), 3e-3), train_step=step)


def moco(seed: int) -> Training:
    """A queue of 1,024 keys fills from noise; the loss rises at first, normal (DTennant/CL-Visualizing-Feature-Transformation#1)."""
    model: Any = nn.ModuleDict({"q": dense(64, 16), "k": dense(64, 16)})
    model["k"].load_state_dict(model["q"].state_dict())
    model["k"].requires_grad_(False)
    state = {"queue": F.normalize(torch.randn(1024, 16)), "at": torch.tensor(0)}

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        q = F.normalize(m["q"](view(batch[0])))
        with torch.no_grad():
            follow(m["k"], m["q"], 0.95)
            k = F.normalize(m["k"](view(batch[0])))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ state["queue"].T], 1) / 0.1
        loss = F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
        down(optimizer, loss)
        at = int(state["at"])
        state["queue"][at : at + len(k)] = k
        state["at"] = torch.tensor((at + len(k)) % 1024)
        return loss

    return Training(model, digits(seed), by("sgd-decay", model["q"].parameters(), 0.1), train_step=step)


class BatchHard(nn.Module):
    """The farthest friend and the nearest stranger; often nothing is left to do (KevinMusgrave/pytorch-metric-learning#268)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(64, 16)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = self.net(x)
        far, same = torch.cdist(z, z), y[:, None] == y
        friend = far.masked_fill(~same, 0.0).amax(1)
        stranger = far.masked_fill(same, 1e3).amin(1)
        return F.relu(friend - stranger + 1.0).mean()


class ArcFace(nn.Module):
    """Angles with a margin, times 30: a large loss at first, normal (heshuting555/AICITY2020_DMT_VehicleReID#3)."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.weight = nn.Sequential(dense(64, 24), nn.BatchNorm1d(24)), nn.Parameter(torch.randn(10, 24))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        cosine = F.linear(F.normalize(self.net(x)), F.normalize(self.weight)).clamp(-0.9999, 0.9999)
        wider = torch.cos(torch.acos(cosine) + 0.4)
        return F.cross_entropy(30 * torch.where(F.one_hot(y, 10).bool(), wider, cosine), y)


class Siamese(nn.Module):
    """Two in, one network; Hadsell's contrastive loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(64, 8, 48, nn.Tanh)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        far = F.pairwise_distance(self.net(x), self.net(x.roll(1, 0)))
        same = (y == y.roll(1, 0)).float()
        return (same * far.square() + (1 - same) * F.relu(2 - far).square()).mean()


class Clip(nn.Module):
    """Two towers and a temperature that starts at 1 / 0.07 and stays below 100."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Sequential(nn.EmbeddingBag(80, 32), nn.Linear(32, 24)) for _ in range(2))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, a: Tensor, b: Tensor) -> Any:
        logits = self.logit_scale.clamp(max=math.log(100)).exp() * F.normalize(self.a(a)) @ F.normalize(self.b(b)).T
        right = torch.arange(len(a))
        return 0.5 * (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right))


def centred(seed: int) -> Training:
    """Center loss: the centres have an optimiser of their own, whose gradients are scaled back."""
    model: Any = nn.ModuleDict({"net": dense(64, 8), "head": nn.Linear(8, 10)})
    centres = nn.Module()
    centres.points = nn.Parameter(torch.randn(10, 8))
    model["centres"] = centres
    one = by("sgd", [*model["net"].parameters(), *model["head"].parameters()], 0.02)

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Any:
        h = m["net"](batch[0])
        pull = 0.5 * (h - m["centres"].points[batch[1]]).square().sum(1).mean()
        loss = F.cross_entropy(m["head"](h), batch[1]) + 0.01 * pull
        for each in optimizers:
            each.zero_grad()
        loss.backward()
        m["centres"].points.grad *= 100.0
        for each in optimizers:
            each.step()
        return loss

    return Training(model, digits(seed), [one, by("plain", centres.parameters(), 0.5)], train_step=step)


class Barlow(nn.Module):
    """The correlation of two views' features is to be one with itself and nothing with others."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.bn = normed(64, 32), nn.BatchNorm1d(32, affine=False)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        c = self.bn(self.net(view(x))).T @ self.bn(self.net(view(x))) / len(x)
        own = torch.eye(32, dtype=torch.bool)
        return (c[own] - 1).square().sum() + 0.02 * c[~own].square().sum()


class SupCon(nn.Module):
    """Friends of the same class against all others."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = nn.Sequential(dense(64, 48), nn.ReLU()), nn.Linear(48, 16)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = F.normalize(self.head(self.net(view(x))))
        itself = torch.eye(len(x), dtype=torch.bool)
        friends = (y[:, None] == y) & ~itself
        logp = (z @ z.T / 0.2).masked_fill(itself, float("-inf")).log_softmax(1)
        return -(logp.masked_fill(~friends, 0.0).sum(1) / friends.sum(1).clamp_min(1)).mean()


def distilled(seed: int) -> Training:
    """A teacher of 128 units, trained here and frozen, and a pupil of 16, at a temperature of 4."""
    teacher, batches = dense(64, 10, 128), digits(seed)
    optimizer = by("adam", teacher.parameters(), 3e-3)
    for _, batch in zip(range(60), batches, strict=False):
        down(optimizer, ce(teacher, batch))
    model: Any = dense(64, 10, 16)
    teacher.eval().requires_grad_(False)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        with torch.no_grad():
            soft = (teacher(batch[0]) / 4).softmax(1)
        out = net(batch[0])
        apart = F.kl_div((out / 4).log_softmax(1), soft, reduction="batchmean") * 16
        return 0.9 * apart + 0.1 * F.cross_entropy(out, batch[1])

    return Training(model, batches, by("adam", model.parameters(), 5e-3), loss)


def mutual(seed: int) -> Training:
    """Two pupils who teach each other, an optimiser each."""
    model: Any = nn.ModuleList([dense(64, 10, 32), dense(64, 10, 48, nn.Tanh)])

    def step(nets: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        total = torch.zeros(())
        for mine in (0, 1):
            out = nets[mine](batch[0])
            with torch.no_grad():
                other = nets[1 - mine](batch[0]).softmax(1)
            loss = F.cross_entropy(out, batch[1]) + F.kl_div(out.log_softmax(1), other, reduction="batchmean")
            total = total + down(optimizers[mine], loss).detach()
        return total

    two = [by("sgd", model[0].parameters(), 0.05), by("adam", model[1].parameters(), 3e-3)]
    return Training(model, digits(seed), two, train_step=step)


class Prototypes(nn.Module):
    """A prototypical network: half of the batch says where the classes are, the other half asks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(64, 16, 64, nn.ELU)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z, half = self.net(x), len(x) // 2
        there = F.one_hot(y[:half], 10).float()
        middle = there.T @ z[:half] / there.sum(0)[:, None].clamp_min(1)
        logits = (-torch.cdist(z[half:], middle).square()).masked_fill(there.sum(0) == 0, -1e4)
        known = there.sum(0)[y[half:]] > 0
        return F.cross_entropy(logits[known], y[half:][known])


class Hashing(nn.Module):
    """HashNet: tanh of 1 to 8 times the code, steeper with time until bits are bits; a head reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head, self.steps = dense(64, 24), nn.Linear(24, 10), 0

    def forward(self, x: Tensor) -> Any:
        self.steps += self.training
        return self.head(torch.tanh((1 + 0.07 * min(self.steps, 100)) * self.net(x)))


CASES: list[Case] = [
    plain("simsiam-below-zero", "self-supervised", SimSiam, digits, own, "sgd", 0.05, 80),
    named("byol-slow-goal", "self-supervised", byol, 80),
    named("moco-queue-fills", "contrastive", moco, 100, falls=False),
    plain("triplets-batch-hard", "metric learning", BatchHard, digits, own, "adam", 2e-3, 100),
    plain("arcface", "metric learning", ArcFace, digits, own, "sgd", 0.02, 100),
    plain("siamese-contrastive", "metric learning", Siamese, digits, own, "rmsprop", 1e-3, 80),
    plain("clip-two-towers", "contrastive", Clip, questions, own, "adamw", 5e-3, 120),
    named("centres-own-rate", "metric learning", centred, 80),
    plain("supervised-contrast", "contrastive", SupCon, digits, own, "sgd", 0.1, 100),
    named("distilled", "distillation", distilled, 80),
    named("mutual-learning", "distillation", mutual, 60),
    plain("prototypes", "metric learning", Prototypes, digits, own, "adam", 2e-3, 60),
    plain("hash-bits-on-purpose", "metric learning", Hashing, digits, ce, "adam", 2e-3, 100),
]  # fmt: skip
