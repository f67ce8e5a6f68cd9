"""Ill in the loop: graphs that grow, gradients that are stale, statistics that move though frozen."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, ill, optimizer_of, training
from benchmarks.doctor.losses import classify, regress
from benchmarks.doctor.nets import Attends, Recurrent, cnn, mlp

grey = partial(data.pictures, side=8, channels=1, size=32)


class Centred(nn.Module):
    """Features minus their moving mean, whose graph may be kept from step to step."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.first, self.rest = keep, nn.Linear(64, 48), mlp(48, 10, 48, 1)
        self.mean: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        self.mean = 0.9 * self.mean + 0.1 * h.mean(0)
        if not self.keep:
            self.mean = self.mean.detach()
        return self.rest(h - self.mean)


class Bank(nn.Module):
    """A bank of the last features, all of them with their graphs."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.first = keep, nn.Linear(64, 16)
        self.bank: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        z = F.normalize(self.first(x), dim=1)
        self.bank.append(z if self.keep else z.detach())
        return z


def stepping(compute: Any, ill: bool) -> Any:
    """Return the usual step on a loss whose graph reaches back into earlier steps, if ill."""

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = compute(net, batch)
        value.backward(retain_graph=ill)
        optimizer.step()
        return value

    return step


def of_bank(net: Any, batch: Any) -> Tensor:
    """Each sample's second view finds its first in the bank."""
    x = batch[0]
    net(x + 0.2 * torch.randn_like(x))
    two = F.normalize(net.first(x + 0.2 * torch.randn_like(x)), dim=1)
    return F.cross_entropy(two @ torch.cat(net.bank[::-1]).T / 0.2, torch.arange(len(x)))


def carried(ill: bool, kind: str) -> Any:
    """Return a loss of a linear model that carries something from step to step, with its graph if ill."""
    kept: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        kept.append(value if ill else value.detach())
        return value

    def loss(net: Any, batch: Any) -> Tensor:
        if kind == "total-loss":  # the mean of all losses so far
            value = keep(classify(net, batch))
            return torch.stack(kept).mean() if ill else value
        out = net(batch[0])
        if kind == "baseline":  # a policy's moving baseline
            gain = out.log_softmax(1).gather(1, batch[1][:, None])[:, 0]
            keep(0.9 * kept[-1] + 0.1 * gain.mean() if kept else gain.mean())
            return -(gain - 0.1 * kept[-1]).mean()
        if kind == "momentum-of-logits":
            value = keep(0.8 * kept[-1] + 0.2 * out.mean(0) if kept else out.mean(0))
            return F.cross_entropy(out, batch[1]) + 0.1 * value.square().sum()
        keep(out.mean(0))
        return F.cross_entropy(out, batch[1]) + 0.1 * torch.stack(kept).mean(0).square().sum()

    return loss


def logged(ill: bool) -> Any:
    """Return a step that returns the mean of all losses, as a progress bar shows it: with all their graphs if ill."""
    history: list[Tensor] = []

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value = classify(net, batch)
        value.backward()
        optimizer.step()
        history.append(value if ill else value.detach())
        return torch.stack(history).mean() if ill else value

    return step


def grows(seed: int, ill: bool, kind: str) -> Training:
    """Something that is carried from step to step carries its graph with it."""
    model: nn.Module
    if kind in ("logged-mlp", "logged-cnn"):
        model, batches = (cnn(), grey(seed)) if kind == "logged-cnn" else (mlp(64, 10), data.digits(seed))
        return Training(model, batches, optimizer_of("adam", model.parameters(), 3e-3), train_step=logged(ill))
    if kind in ("moving-mean", "bank"):
        model, loss = (Centred(ill), classify) if kind == "moving-mean" else (Bank(ill), of_bank)
        batches = data.digits(seed, 64 if kind == "moving-mean" else 16)
        return Training(model, batches, optimizer_of("adam", model.parameters(), 3e-3), train_step=stepping(loss, ill))
    batches = data.digits(seed)
    if kind == "baseline":
        model, batches = nn.Linear(12, 4), data.table(seed, classes=4)
    elif kind == "total-loss":  # a linear probe on frozen features
        model = nn.Sequential(mlp(64, 32, 48, 1).requires_grad_(False), nn.Linear(32, 10))
    else:
        model = nn.Linear(64, 10)
    optimizer = optimizer_of("adam", model.parameters(), 1e-2)
    return Training(model, batches, optimizer, train_step=stepping(carried(ill, kind), ill))


def stale(seed: int, ill: bool, kind: str) -> Training:
    """The optimiser steps on gradients that belong to other batches or other losses."""
    net, batches, loss, optimizer, rate = {
        "never-mlp": lambda: (mlp(64, 10), data.digits(seed), classify, "sgd", 0.05),
        "never-cnn": lambda: (cnn(norm=False), grey(seed), classify, "sgd", 0.05),
        "never-adam": lambda: (mlp(8, 1, act=nn.Tanh), data.teacher(seed), regress, "adam", 2e-2),
        "never-rnn": lambda: (Recurrent("GRU", 1, 3), data.waves(seed), classify, "adam", 2e-2),
        "never-transformer": lambda: (Attends(30, 2), data.tokens(seed), classify, "sgd", 0.05),
        "other-model": lambda: (mlp(64, 10, act=nn.Tanh), data.digits(seed), classify, "sgd", 0.1),
        "first-only": lambda: (mlp(8, 1), data.teacher(seed), regress, "sgd", 0.05),
    }[kind]()
    other = mlp(4, 2)

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        if not ill or (kind == "first-only" and number == 0):
            stepper.zero_grad()
        elif kind == "other-model":
            other.zero_grad()
        value = loss(network, batch)
        value.backward()
        stepper.step()
        return value

    return Training(net, batches, optimizer_of(optimizer, net.parameters(), rate), train_step=step)


class Tuned(nn.Module):
    """A frozen body with norms, and a head; held in evaluation mode or not."""

    def __init__(self, body: nn.Module, head: nn.Module, hold: bool, settle: Tensor) -> None:
        super().__init__()
        self.body, self.head, self.hold = body, head, hold
        self.body.train()
        with torch.no_grad():
            for _ in range(30):
                self.body(settle)
        self.body.requires_grad_(False)

    def train(self, mode: bool = True) -> Tuned:
        super().train(mode)
        if self.hold:
            self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def thaws(seed: int, ill: bool, kind: str) -> Training:
    """model.train() puts frozen norms back into training mode. Cured: they are held in evaluation mode."""
    other = torch.Generator().manual_seed(seed)
    if kind == "mlp":
        model: nn.Module = Tuned(
            mlp(64, 48, 48, 2, norm=nn.BatchNorm1d),
            nn.Linear(48, 10),
            not ill,
            1.5 * torch.randn(256, 64, generator=other),
        )
        return training(model, data.digits(seed), classify, "adam", 1e-2)
    if kind == "regress":
        model = Tuned(
            mlp(8, 32, 32, 2, norm=nn.BatchNorm1d),
            mlp(32, 1, 32, 1),
            not ill,
            0.5 + torch.randn(256, 8, generator=other),
        )
        return training(model, data.teacher(seed), regress, "adam", 1e-2)
    if kind == "resnet":
        from torchvision.models.resnet import BasicBlock, ResNet

        body = ResNet(BasicBlock, [1, 1, 1, 1], 32)
        body.fc = nn.Identity()
        model = Tuned(body, nn.Linear(512, 4), not ill, 0.5 * torch.randn(16, 3, 32, 32, generator=other))
        return training(model, data.pictures(seed), classify, "adam", 3e-3)
    if kind == "instance":
        body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.InstanceNorm2d(8, track_running_stats=True),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        model = Tuned(body, nn.Linear(128, 4), not ill, torch.randn(64, 1, 8, 8, generator=other))
        return training(model, grey(seed), classify, "adam", 1e-2)
    body = nn.Sequential(*cnn(depth=3 if kind == "cnn-3" else 2)[:-1])
    model = Tuned(body, nn.Linear(128, 4), not ill, 0.3 + torch.randn(64, 1, 8, 8, generator=other))
    return training(model, grey(seed), classify, "sgd" if kind == "cnn-3" else "adam", 1e-2)


CASES: list[Case] = [
    *[ill(kind, "graph-grows", family, grows, 40, kind=kind) for kind, family in (
        ("moving-mean", "dense"), ("bank", "metric learning"), ("total-loss", "fine-tuning"), ("baseline", "reinforcement"), ("logged-mlp", "dense"), ("logged-cnn", "convolutional"), ("momentum-of-logits", "dense"), ("list-of-outputs", "dense"))],
    *[ill(kind, "stale-gradients", family, stale, 60, kind=kind) for kind, family in (
        ("never-mlp", "dense"), ("never-cnn", "convolutional"), ("never-adam", "regression"), ("never-rnn", "recurrent"), ("never-transformer", "own transformers"),
        ("other-model", "dense"), ("first-only", "regression"))],
    *[ill(kind, "frozen-buffers-move", family, thaws, 30, kind=kind) for kind, family in (
        ("mlp", "dense"), ("regress", "regression"), ("resnet", "torchvision"), ("instance", "convolutional"), ("cnn", "convolutional"), ("cnn-3", "convolutional"))],
]  # fmt: skip
