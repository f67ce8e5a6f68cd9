"""Healthy: what lessons and tutorials have their readers train first."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits, pictures
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import bce, by, ce, dense, down, mse, named, plain
from benchmarks.doctor.fourth.data import scenes


def quickstart() -> nn.Module:
    """Return the network of PyTorch's quickstart."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


class Cifar(nn.Module):
    """The network of PyTorch's lesson on CIFAR-10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 4)

    def forward(self, x: Tensor) -> Any:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))))


def zeros() -> nn.Module:
    """Return a softmax regression that starts at zero, as lessons have it: the problem is convex."""
    layer = nn.Linear(64, 10)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Book(nn.Module):
    """The 30 sigmoid units of Nielsen's book, weights normal over the root of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 30), nn.Linear(30, 10)
        for layer in (self.hidden, self.out):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.normal_(layer.bias)

    def forward(self, x: Tensor) -> Any:
        return torch.sigmoid(self.out(torch.sigmoid(self.hidden(x))))


def quadratic(model: nn.Module, batch: Any) -> Any:
    """The book's quadratic cost: half the squared distance from the one-hot class."""
    return 0.5 * (model(batch[0]) - F.one_hot(batch[1], 10)).square().sum(1).mean()


def unit_digits(seed: int, size: int = 10) -> Batches:
    """Return digits, (B, 64) between 0 and 1, and their class."""
    x, y = digits(seed).tensors
    return Batches(((x - x.min()) / (x.max() - x.min()), y), size, seed)


def line(seed: int) -> Batches:
    """Return points about y = 2 x + 1."""
    x = torch.linspace(-1, 1, 100)[:, None]
    return Batches((x, 2 * x + 1 + 0.1 * torch.randn(100, 1, generator=data.dice(seed))), 100, seed)


def sine(seed: int) -> Batches:
    """Return a noisy sine."""
    x = torch.linspace(-3, 3, 200)[:, None]
    return Batches((x, torch.sin(x) + 0.05 * torch.randn(200, 1, generator=data.dice(seed))), 200, seed)


def xor(seed: int) -> Batches:
    """Return the four points of exclusive or."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    return Batches((x, (x.sum(1, keepdim=True) == 1).float()), 4, seed)


def spiral(seed: int) -> Training:
    """Stanford's CS231n: 100 units, all points at once, a rate of 1, and a thousandth of the squared weights."""
    model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 3))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=0.1)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        decay = 0.5e-3 * (net[0].weight.square().sum() + net[2].weight.square().sum())
        return down(optimizer, ce(net, batch) + decay)

    return Training(model, data.swirl(seed), by("plain", model.parameters(), 1.0), train_step=step)


class Basic(nn.Module):
    """A basic block of a residual network."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Any:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


def resnet() -> nn.Module:
    """Return a small residual network."""
    stem = [nn.Conv2d(3, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU()]
    blocks = [Basic(12, 12, 1), Basic(12, 24, 2), Basic(24, 32, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))


def probabilities() -> nn.Module:
    """Return a network that ends in a sigmoid, as BCELoss wants it."""
    return nn.Sequential(dense(30, 1, 32), nn.Sigmoid())


def likelihood(model: nn.Module, batch: Any) -> Tensor:
    """BCELoss of probabilities."""
    return F.binary_cross_entropy(model(batch[0]), batch[1])


def log_probabilities() -> nn.Module:
    """Return a network that ends in LogSoftmax."""
    return nn.Sequential(dense(64, 10, 48, nn.Tanh), nn.LogSoftmax(dim=1))


def nll(model: nn.Module, batch: Any) -> Tensor:
    """NLLLoss of logarithms."""
    return F.nll_loss(model(batch[0]), batch[1])


CASES: list[Case] = [
    plain("quickstart", "dense", quickstart, digits, ce, "plain", 0.05, 80),
    plain("cifar-lesson", "convolutional", Cifar, partial(pictures, side=32), ce, "sgd", 0.01, 120),
    plain("iris-in-centimetres", "dense", partial(dense, 4, 3, 16), data.flowers, ce, "adam", 0.01, 120),
    plain("line", "regression", partial(nn.Linear, 1, 1), line, mse, "plain", 0.1, 60),
    plain("softmax-regression-from-zero", "regression", zeros, digits, ce, "plain", 0.1, 80),
    plain("exclusive-or", "dense", partial(dense, 2, 1, 16, nn.Tanh, 1), xor, bce, "adam", 0.05, 100),
    named("spiral-rate-one", "dense", spiral, 200),
    plain("nielsens-book-rate-three", "dense", Book, unit_digits, quadratic, "plain", 3.0, 200),
    plain("small-resnet", "convolutional", resnet, scenes, ce, "sgd-decay", 0.1, 80),
    plain("biopsies-sigmoid-bceloss", "tables", probabilities, data.biopsies, likelihood, "adam", 3e-3, 80),
]
