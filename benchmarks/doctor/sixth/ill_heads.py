"""Ill at both ends: heads that do not fit their loss, inputs and targets in the units they came in."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs
from benchmarks.doctor.sixth.parts_a import dice, fit, keep, mae, missed, mlp, mse, rows, signals, unexplained

CASES: list[Case] = []


@keep(CASES, "nll-of-softmax", "loss-head-mismatch", "text", 60)
def nll(seed: int, ill: bool) -> Training:
    """NLLLoss after softmax, not log-softmax: the loss is minus the chance, and negative.

    github.com/AnubhavGupta3377/Text-Classification-Models-Pytorch/issues/9.
    """
    g = dice(seed)
    topic = torch.randint(0, 20, (768,), generator=g)
    words = torch.randint(0, 400, (768, 24), generator=g)
    words = torch.where(torch.rand(768, 24, generator=g) < 0.25, 20 * topic[:, None] + words % 20, words)
    net = nn.Sequential(nn.EmbeddingBag(400, 32), nn.Linear(32, 20))

    def loss(m: nn.Module, batch: Any) -> Any:
        out = m(batch[0])
        return F.nll_loss(out.softmax(-1) if ill else out.log_softmax(-1), batch[1])

    return fit(net, rows(seed, words, topic, size=32), loss, "adam", 1e-2, missed([(words, topic)]))


@keep(CASES, "softmax-of-one", "loss-head-mismatch", "tables", 80, "saturated-output")
def softmax(seed: int, ill: bool) -> Training:
    """Two classes, one output, softmax over it: always 1, whatever comes in, and no gradient at all."""
    x, z = signals(seed)
    y = (z[:, :1] > 0).float()
    net = nn.Sequential(mlp(10, 32, 32, 1), nn.Softmax(1) if ill else nn.Sigmoid())

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy(m(batch[0]), batch[1])

    return fit(net, rows(seed, x, y), loss, "adam", 5e-3)


@keep(CASES, "class-number-for-all-outputs", "loss-head-mismatch", "dense", 80)
def number(seed: int, ill: bool) -> Training:
    """github.com/vlang/vtl/pull/55: squared error of ten outputs with the number of the class, which is broadcast."""
    x, y = digits(seed).tensors
    net = mlp(64, 64, 10)

    def loss(m: nn.Module, batch: Any) -> Any:
        out = m(batch[0])
        return (out - (batch[1][:, None].float() if ill else F.one_hot(batch[1], 10).float())).square().mean()

    return fit(net, rows(seed, x, y), loss, "adam", 3e-3, missed([(x, y)]))


@keep(CASES, "pixels-of-255", "unscaled-inputs", "segmentation", 60)
def pixels(seed: int, ill: bool) -> Training:
    """github.com/huochaitiantang/pytorch-deep-image-matting/issues/12: pictures of 0 to 255 as they are."""
    x, mask = discs(seed).tensors
    x = (x - x.min()) / (x.max() - x.min()) * 255
    x = x if ill else (x - x.mean()) / x.std()
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy_with_logits(m(batch[0]), batch[1])

    return fit(net, rows(seed, x, mask, size=16), loss, "sgd", 0.02)


@keep(CASES, "seconds-since-1970", "unscaled-inputs", "forecasting", 120)
def seconds(seed: int, ill: bool) -> Training:
    """The load of a grid by the hour: the time is a column of seconds since 1970, beside temperatures."""
    g = dice(seed)
    hour = torch.randint(0, 2000, (1024, 1), generator=g).float()
    warm = torch.randn(1024, 3, generator=g)
    y = torch.sin(hour / 600) + warm[:, :1] * warm[:, 1:2] + 0.5 * warm[:, 2:]
    time = 1.7e9 + 3600 * hour if ill else (hour - 1000) / 577
    x = torch.cat((time, warm), 1)
    return fit(mlp(4, 48, 48, 1), rows(seed, x, y / y.std()), mse, "adam", 5e-3)


@keep(CASES, "places-by-pixel-number", "unscaled-inputs", "coordinate nets", 150)
def places(seed: int, ill: bool) -> Training:
    """A net from a pixel's place to its grey, with tanh: the places are 0 to 63, not -1 to 1."""
    g = dice(seed)
    place = torch.cartesian_prod(torch.arange(64.0), torch.arange(64.0))
    turn = 0.05 + 0.1 * torch.rand(2, 3, generator=g)
    grey = torch.sin(place @ turn).mean(1, keepdim=True)
    x = place if ill else (place - 31.5) / 18.5
    return fit(mlp(2, 64, 64, 1, act=nn.Tanh), rows(seed, x, grey / grey.std(), size=256), mse, "adam", 5e-3)


@keep(CASES, "boxes-in-pixels", "unscaled-targets", "detection", 80)
def boxes(seed: int, ill: bool) -> Training:
    """github.com/SeokjuLee/VPGNet/issues/53: corners of 0 to 640 as they are, L1; the loss stays where it was."""
    x, mask = discs(seed).tensors
    steps = torch.arange(16.0)
    middle = [(mask[:, 0].mean(each) * steps).sum(1) / mask[:, 0].mean(each).sum(1).clamp_min(0.01) for each in (1, 2)]
    y = 40 * torch.stack(middle, 1)
    mean, std = y.mean(0), y.std(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 32), nn.ReLU())
    net.append(nn.Linear(32, 2))
    score = unexplained([(x, y)]) if ill else unexplained([(x, y)], std, mean)
    return fit(net, rows(seed, x, y if ill else (y - mean) / std, size=16), mae, "adam", 1e-3, score)


@keep(CASES, "cubes-of-thousands", "unscaled-targets", "dense", 150)
def cubes(seed: int, ill: bool) -> Training:
    """discuss.pytorch.org/t/neural-network-could-not-learn-on-this-type-of-data-why/96648: y = d ** 3, d to 4000."""
    d = torch.arange(1.0, 4000.0)[torch.randperm(3999, generator=dice(seed)), None]
    y, x = d**3, (d - d.mean()) / d.std()
    mean, std = y.mean(), y.std()
    score = unexplained([(x, y)]) if ill else unexplained([(x, y)], std, mean)
    return fit(mlp(1, 50, 1), rows(seed, x, y if ill else (y - mean) / std), mse, "adam", 1e-2, score)


@keep(CASES, "returns-drown-the-policy", "unscaled-targets", "reinforcement", 120)
def returns(seed: int, ill: bool) -> Training:
    """Actor and critic share a trunk; returns of hundreds make a loss of 1e5, and the norm is clipped to 0.5."""
    x, z = signals(seed)
    act, gain = (z[:, 0] > 0).long(), 400 + 250 * z[:, 1:2]
    net = mlp(10, 64, 64, 3, act=nn.Tanh)

    def step(m: Any, optimizer: Any, batch: Any, step: int) -> Tensor:
        out, value = m(batch[0]), batch[2] if ill else (batch[2] - 400) / 250
        loss = F.cross_entropy(out[:, :2], batch[1]) + 0.5 * F.mse_loss(out[:, 2:], value)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 0.5)
        optimizer.step()
        return loss

    def score(m: Any) -> float:
        with torch.no_grad():
            return float(m(x)[:, :2].argmax(1).ne(act).float().mean())

    return Training(net, rows(seed, x, act, gain), torch.optim.SGD(net.parameters(), 0.1), None, step, score)
