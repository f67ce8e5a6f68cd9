"""Ill in their steps: too large, too small, to and fro; batches too small to norm by; units that begin alike."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, moons
from benchmarks.doctor.sixth.parts_a import ce, clouds, dice, fit, keep, mlp, mse, rows, signals, stripes

CASES: list[Case] = []


def scheduled(training: Training, schedule: Any, loss: Any) -> Training:
    """Let the schedule step after every batch."""

    def step(m: Any, optimizer: Any, batch: Any, step: int) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(m, batch)
        value.backward()
        optimizer.step()
        schedule.step()
        return value

    training.loss, training.train_step = None, step
    return training


@keep(CASES, "decay-that-grows", "step-too-large", "dense", 120)
def grows(seed: int, ill: bool) -> Training:
    """ExponentialLR with a gamma of 1.06, for 0.96: the rate is a thousandfold in the end."""
    training = fit(mlp(64, 64, 64, 10), rows(seed, *digits(seed).tensors), ce, "sgd", 0.02)
    schedule = torch.optim.lr_scheduler.ExponentialLR(training.optimizer, 1.06 if ill else 0.98)
    return scheduled(training, schedule, ce)


@keep(CASES, "sixteen-backwards-undivided", "step-too-large", "convolutional", 40)
def undivided(seed: int, ill: bool) -> Training:
    """Gradients of sixteen small batches are added up, and the losses were not divided by sixteen."""
    net = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.Flatten())
    net.append(nn.Linear(256, 4))

    def step(m: Any, optimizer: Any, batch: Any, step: int) -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for x, y in zip(batch[0].chunk(16), batch[1].chunk(16), strict=True):
            loss = F.cross_entropy(m(x), y)
            (loss if ill else loss / 16).backward()
            total += loss.detach() / 16
        optimizer.step()
        return total

    optimizer = torch.optim.SGD(net.parameters(), 0.08, momentum=0.9)
    return Training(net, rows(seed, *stripes(seed), size=64), optimizer, None, step)


@keep(CASES, "sum-over-large-batches", "step-too-large", "dense", 60)
def summed(seed: int, ill: bool) -> Training:
    """github.com/jax-ml/jax/pull/3113: the loss is a sum over the samples; it was well at 32, and explodes at 512."""

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.mse_loss(m(batch[0]), batch[1], reduction="sum" if ill else "mean")

    return fit(mlp(10, 64, 3, act=nn.Tanh), rows(seed, *signals(seed), size=512), loss, "plain", 0.002 if ill else 0.3)


@keep(CASES, "schedule-by-the-batch", "step-too-small", "super-resolution", 120)
def batchwise(seed: int, ill: bool) -> Training:
    """github.com/Lornatang/SRGAN-PyTorch/issues/1: StepLR, meant for epochs, steps by the batch; soon it is zero."""
    x, _ = stripes(seed)
    net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2))

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.mse_loss(m(F.avg_pool2d(batch[1], 2)), batch[1])

    training = fit(net, rows(seed, x, F.avg_pool2d(x, 3, 1, 1), size=16), loss, "adam", 1e-3)
    return scheduled(training, torch.optim.lr_scheduler.StepLR(training.optimizer, 4 if ill else 400, 0.1), loss)


@keep(CASES, "adadelta-at-a-thousandth", "step-too-small", "dense", 120)
def adadelta(seed: int, ill: bool) -> Training:
    """Adadelta with Adam's 1e-3 (Keras's default too); its own is 1, and its steps begin tiny as they are."""
    training = fit(mlp(64, 64, 10), rows(seed, *digits(seed).tensors), ce)
    training.optimizer = torch.optim.Adadelta(training.model.parameters(), 1e-3 if ill else 1.0)
    return training


@keep(CASES, "warm-up-of-another-length", "step-too-small", "transformers", 80)
def noam(seed: int, ill: bool) -> Training:
    """Noam's schedule with its 4,000 steps of warm-up, in a training of eighty."""
    g = dice(seed)
    x = torch.randint(0, 20, (512, 10), generator=g)
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
    net = nn.Sequential(nn.Embedding(20, 32), nn.TransformerEncoder(layer, 1), nn.Flatten(), nn.Linear(320, 2))
    training = fit(net, rows(seed, x, (x[:, 0] > x[:, 5]).long(), size=32), ce, "adam", 1.0)
    warm = 4000 if ill else 40
    rate = torch.optim.lr_scheduler.LambdaLR(
        training.optimizer, lambda s: 0.0177 * min((s + 1) ** -0.5, (s + 1) * warm**-1.5)
    )
    return scheduled(training, rate, ce)


@keep(CASES, "clouds-by-twos", "batchnorm-tiny-batch", "point clouds", 120)
def pairs(seed: int, ill: bool) -> Training:
    """github.com/charlesq34/pointnet/issues/37: batches of 2, and batch norm after the pool: every feature is +-1."""

    class PointNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.points = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU())
            self.head = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))

        def forward(self, x: Tensor) -> Any:
            return self.head(self.points(x).amax(1))

    x, y = clouds(seed)
    return fit(PointNet(), rows(seed, x, y, size=2 if ill else 32), ce, "adam", 3e-3)


@keep(CASES, "one-utterance-a-step", "batchnorm-tiny-batch", "audio", 120)
def utterance(seed: int, ill: bool) -> Training:
    """Utterances of all lengths, so one a step; batch norm over time takes away how loud each is, the class."""
    g = dice(seed)
    y = torch.randint(0, 3, (512,), generator=g)
    x = torch.randn(512, 4, 30, generator=g) * torch.tensor([0.4, 0.9, 2.0])[y][:, None, None]
    net = nn.Sequential(nn.Conv1d(4, 24, 5, bias=False), nn.BatchNorm1d(24), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
    net.extend([nn.Flatten(), nn.Linear(24, 3)])
    return fit(net, rows(seed, x, y, size=1 if ill else 32), ce, "adam", 1e-2)


@keep(CASES, "pooled-branch-of-two", "batchnorm-tiny-batch", "segmentation", 100)
def pooled(seed: int, ill: bool) -> Training:
    """DeepLab's pooled branch, batch norm and all, with two pictures a step; which things count, the light tells.

    After github.com/xuebinqin/BASNet/issues/42, where batches of one were far worse than those of eight.
    """
    x, mask = discs(seed).tensors
    light = 2 * torch.rand(len(x), 1, 1, 1, generator=dice(seed)) - 1
    y = torch.where(light > 0, mask, 1 - mask)

    class DeepLab(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
            self.pool = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
            )
            self.head = nn.Sequential(nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))

        def forward(self, x: Tensor) -> Any:
            return self.head(torch.cat((self.near(x), self.pool(x).expand(-1, -1, 16, 16)), 1))

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy_with_logits(m(batch[0]), batch[1])

    return fit(DeepLab(), rows(seed, x + 3 * light, y, size=2 if ill else 32), loss, "adam", 1e-2)


@keep(CASES, "half-for-every-weight", "symmetric-initialisation", "dense", 150)
def half(seed: int, ill: bool) -> Training:
    """Every weight is 0.5, as in ai.stackexchange.com/questions/27010: 32 units that are one. Moons, not xor."""
    net: Any = mlp(2, 32, 32, 2, act=nn.Tanh)
    if ill:
        for each in (net[0], net[2]):
            nn.init.constant_(each.weight, 0.5)
            nn.init.zeros_(each.bias)
        nn.init.constant_(net[4].weight, 0.1)
    return fit(net, rows(seed, *moons(seed).tensors), ce, "adam", 1e-2)


@keep(CASES, "factors-all-alike", "symmetric-initialisation", "recommenders", 150)
def factors(seed: int, ill: bool) -> Training:
    """nn.init.constant_(0.1) for users and items: sixteen factors of each that stay one and the same number."""
    g = dice(seed)
    user, item = torch.randint(0, 50, (4096,), generator=g), torch.randint(0, 40, (4096,), generator=g)
    rating = (torch.randn(50, 4, generator=g)[user] * torch.randn(40, 4, generator=g)[item]).sum(1) / 2

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(50, 16), nn.Embedding(40, 16)
            for each in (self.user, self.item):
                nn.init.constant_(each.weight, 0.1) if ill else nn.init.normal_(each.weight, 0.0, 0.3)

        def forward(self, user: Tensor, item: Tensor) -> Any:
            return (self.user(user) * self.item(item)).sum(1)

    return fit(Factors(), rows(seed, user, item, rating, size=256), mse, "adam", 2e-2)


@keep(CASES, "betas-the-wrong-way-round", "oscillation", "dense", 150, "step-too-large")
def betas(seed: int, ill: bool) -> Training:
    """betas=(0.999, 0.9): a momentum of a thousand steps over a short second moment swings past the minimum."""
    training = fit(mlp(10, 64, 3, act=nn.Tanh), rows(seed, *signals(seed)), mse)
    training.optimizer = torch.optim.Adam(
        training.model.parameters(), 3e-2, betas=(0.999, 0.9) if ill else (0.9, 0.999)
    )
    return training


@keep(CASES, "two-molecules-a-step", "oscillation", "dense", 200, "step-too-large")
def molecules(seed: int, ill: bool) -> Training:
    """github.com/atomistic-machine-learning/schnetpack/issues/639: the loss swings; a larger batch was the cure."""
    net = mlp(10, 64, 64, 3, act=nn.SiLU)
    return fit(net, rows(seed, *signals(seed), size=2 if ill else 64), mse, "sgd", 0.05)


@keep(CASES, "momentum-of-0.999", "oscillation", "convolutional", 150, "step-too-large")
def momentum(seed: int, ill: bool) -> Training:
    """SGD with a momentum of 0.999, the second beta of Adam: the loss goes down, up and down again."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(512, 4))
    x, y = stripes(seed)
    training = fit(net, rows(seed, x, F.one_hot(y, 4).float(), size=32), mse)
    training.optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.999 if ill else 0.9)
    return training
