"""Healthy tables and forecasts: rare classes, wrong labels, counts, quantiles, variances, series."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import classify, each, squared, yes_or_no


def focal(model: nn.Module, batch: Any) -> Tensor:
    """Focal loss on a rare class, the head's bias set to its share at the start."""
    out, y = model(batch[0])[:, 0], batch[1].float()
    each_one = F.binary_cross_entropy_with_logits(out, y, reduction="none")
    return ((1 - torch.exp(-each_one)).square() * each_one).mean() * 10


def prior() -> nn.Module:
    """A net that starts by saying one in twenty."""
    net: Any = mlp(16, 1, 32, 2)
    nn.init.constant_(net[-1].bias, -2.94)
    return net


def weighted(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy with weights against the imbalance."""
    return F.cross_entropy(model(batch[0]), batch[1], weight=torch.tensor([1.0, 19.0]))


def noisy(seed: int) -> Batches:
    """A quarter of the labels are wrong."""
    x, y = tasks.factors(seed).tensors
    wrong = torch.rand(len(y), generator=tasks.dice(seed + 1)) < 0.25
    return Batches((x, torch.where(wrong, torch.randint(0, 4, y.shape, generator=tasks.dice(seed + 2)), y)), 64, seed)


def robust(model: nn.Module, batch: Any) -> Tensor:
    """Generalised cross entropy, made for noisy labels."""
    p = model(batch[0]).softmax(1).gather(1, batch[1][:, None])
    return ((1 - p**0.5) / 0.5).mean()


def quantiles(model: nn.Module, batch: Any) -> Tensor:
    """Pinball loss at three quantiles for each hour ahead."""
    out = model(batch[0]).view(len(batch[0]), 8, 3)
    error = batch[1][..., None] - out
    q = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(q * error, (q - 1) * error).mean()


def gaussian(model: nn.Module, batch: Any) -> Tensor:
    """Mean and variance are both foretold."""
    mean, raw = model(batch[0]).chunk(2, 1)
    return F.gaussian_nll_loss(mean, batch[1], F.softplus(raw) + 1e-3) + 2.0


def poisson(model: nn.Module, batch: Any) -> Tensor:
    """Counts: Poisson's loss of the logarithm of the rate."""
    return F.poisson_nll_loss(model(batch[0]), batch[1], log_input=True, full=True)


class Beats(nn.Module):
    """N-BEATS: blocks that each explain a part of the past and of the future."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp(32, 40, 48, 2) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 8)
        for block in self.blocks:
            back, ahead = block(x).split((32, 8), 1)
            x, out = x - back, out + ahead
        return out


class Rolled(nn.Module):
    """An LSTM that reads a window and then feeds itself its own forecasts."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTMCell(1, 24), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(len(x), 24)
        for value in x.split(1, 1):
            h, c = self.cell(value, (h, c))
        out = []
        for _ in range(8):
            out.append(self.out(h))
            h, c = self.cell(out[-1], (h, c))
        return torch.cat(out, 1)


CASES: list[Case] = [
    *each("focal-rare", "imbalance", prior, tasks.rare_class, focal, {"adam": 3e-3}, 100),
    *each("weighted-rare", "imbalance", partial(mlp, 16, 2, 32, 2), tasks.rare_class, weighted, {"adamw": 5e-3, "sgd": 0.03}, 80),
    *each("noisy-labels", "robust losses", partial(mlp, 24, 4, 48, 2), noisy, robust, {"adam": 5e-3, "radam": 1e-2}, 80),
    *each("several-labels", "tables", partial(mlp, 20, 6, 48, 1), tasks.labels, yes_or_no, {"nadam": 5e-3, "nesterov": 0.2}),
    *each("wine", "tables", partial(mlp, 13, 3, 32, 2), tasks.measured, classify, {"adam": 5e-3, "adagrad": 0.03}),
    *each("cancer", "tables", partial(mlp, 30, 2, 16, 1, nn.Tanh), partial(tasks.measured, which="cancer"), classify, {"adamax": 1e-2, "asgd": 0.3}),
    *each("iris", "tables", partial(mlp, 4, 3, 16, 1, nn.Sigmoid), partial(tasks.measured, which="iris"), classify, {"adam": 3e-2}),
    *each("diabetes", "tables", partial(mlp, 10, 1, 32, 1), tasks.diabetes, squared, {"adam": 1e-2}),
    *each("tree-targets", "tables", partial(mlp, 10, 1, 64, 2), tasks.trees, squared, {"adam": 5e-3, "adamw": 1e-2}),
    *each("counts-poisson", "tables", partial(mlp, 6, 1, 32, 1), tasks.counts, poisson, {"adam": 1e-2}),
    *each("gaussian-heads", "tables", partial(mlp, 10, 2, 48, 2), tasks.trees, gaussian, {"adam": 5e-3}, 80),
    *each("nbeats", "forecasting", Beats, tasks.series, squared, {"adam": 3e-3, "adamw": 3e-3}),
    *each("linear-forecast", "forecasting", partial(nn.Linear, 32, 8), tasks.series, squared, {"adam": 1e-2}, 80),
    *each("quantile-forecast", "forecasting", partial(mlp, 32, 24, 48, 2), tasks.series, quantiles, {"adam": 5e-3}),
    *each("lstm-rolled-out", "forecasting", Rolled, tasks.series, squared, {"adam": 2e-2}, 80),
]  # fmt: skip
