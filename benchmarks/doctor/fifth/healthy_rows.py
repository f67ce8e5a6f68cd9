"""Healthy: tables, and losses for every kind of target."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import bce, by, ce, dense, mae, mse, named, plain
from benchmarks.doctor.fourth.data import adult, rents


def counted(model: nn.Module, batch: Any) -> Tensor:
    """Poisson: the network gives the logarithm of the rate."""
    return F.poisson_nll_loss(model(batch[0]), batch[1], log_input=True, full=True)


class Uncertain(nn.Module):
    """A mean and a variance that softplus keeps above zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.spread = dense(6, 32, 32), nn.Linear(32, 1), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.body(x))
        return self.mean(h), F.softplus(self.spread(h)) + 1e-4


def gaussian(model: nn.Module, batch: Any) -> Tensor:
    """A likelihood's logarithm may be positive, so the loss falls below zero: normal (marco-rudolph/differnet#10)."""
    mean, variance = model(batch[0])
    return F.gaussian_nll_loss(mean, 0.2 * batch[1], variance)


class Coral(nn.Module):
    """One score and four thresholds for five ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.thresholds = nn.Sequential(dense(8, 1, 32)), nn.Parameter(torch.linspace(1, -1, 4))

    def forward(self, x: Tensor) -> Any:
        return self.score(x) + self.thresholds


def ordinal(model: nn.Module, batch: Any) -> Tensor:
    """Is it more than 0, than 1, than 2, than 3?"""
    return F.binary_cross_entropy_with_logits(model(batch[0]), (batch[1][:, None] > torch.arange(4)).float())


def cox(model: nn.Module, batch: Any) -> Any:
    """Cox's partial likelihood over the batch, those who lived longest first."""
    x, time, died = batch
    order = time.argsort(descending=True)
    risk = model(x[order])[:, 0]
    return -((risk - risk.logcumsumexp(0)) * died[order]).sum() / died.sum().clamp_min(1)


class Factors(nn.Module):
    """Factors and biases of users and items about the mean of all ratings, which is a buffer."""

    def __init__(self, rank: int = 8) -> None:
        super().__init__()
        self.user, self.item, self.of_user, self.of_item = (
            nn.Embedding(60, rank), nn.Embedding(80, rank), nn.Embedding(60, 1), nn.Embedding(80, 1)
        )  # fmt: skip
        for table, std in ((self.user, 0.1), (self.item, 0.1), (self.of_user, 0.0), (self.of_item, 0.0)):
            nn.init.normal_(table.weight, std=std)
        self.register_buffer("mean", torch.tensor(3.4))

    def forward(self, user: Tensor, item: Tensor) -> Any:
        near = (self.user(user) * self.item(item)).sum(1)
        return self.mean + near + self.of_user(user)[:, 0] + self.of_item(item)[:, 0]


class Fraud(nn.Module):
    """One in 25 is fraud: the last bias starts there, so that the first outputs are all near 0.04."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(10, 1, 48)
        nn.init.constant_(self.net[-1].bias, math.log(0.04 / 0.96))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


def weighted(model: nn.Module, batch: Any) -> Tensor:
    """The few count 24 times."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], pos_weight=torch.tensor([24.0]))


def focal(model: nn.Module, batch: Any) -> Any:
    """Focal loss, weighted by a quarter."""
    logits, y = model(batch[0]), batch[1]
    entropy = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return 100 * ((0.25 * y + 0.75 * (1 - y)) * (1 - torch.exp(-entropy)) ** 2 * entropy).mean()


def known_only(model: nn.Module, batch: Any) -> Tensor:
    """Tests that were not made are NaN in the table, and left out before the loss."""
    known = batch[1].isfinite()
    return F.mse_loss(model(batch[0])[known], batch[1][known])


class Asked(nn.Module):
    """What is missing (NaN) becomes zero, and a second row says where."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(20, 2, 32, nn.SiLU)

    def forward(self, x: Tensor) -> Any:
        return self.net(torch.cat([x.nan_to_num(0.0), x.isnan().float()], 1))


def logarithmic(model: nn.Module, batch: Any) -> Tensor:
    """Prices by their logarithm, less its usual value."""
    return F.mse_loss(model(batch[0]), batch[1].log() - 12.4)


class Pounds(nn.Module):
    """Standardises what comes in and gives prices in their unit, by buffers that were counted before."""

    x_mean: Tensor
    x_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        x, y = data.houses(0).tensors
        for name, value in (("x_mean", x.mean(0)), ("x_std", x.std(0)), ("y_mean", y.mean()), ("y_std", y.std())):
            self.register_buffer(name, value)
        self.net = dense(6, 1, 48)

    def forward(self, x: Tensor) -> Any:
        return self.net((x - self.x_mean) / self.x_std) * self.y_std + self.y_mean


def lecun() -> nn.Module:
    """Return a self-normalising network: LeCun's weights, SELU, alpha dropout."""
    net = nn.Sequential(
        nn.Linear(30, 48), nn.SELU(), nn.AlphaDropout(0.05), nn.Linear(48, 48), nn.SELU(), nn.Linear(48, 48), nn.SELU(),
        nn.Linear(48, 1),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
    return net


class Mixture(nn.Module):
    """A mixture of three bells: where x could be, given y of a curve that turns back."""

    def __init__(self) -> None:
        super().__init__()
        self.net = dense(1, 9, 32, nn.Tanh)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        weight, mean, spread = self.net(x).split(3, 1)
        bells = -0.5 * ((y - mean) / spread.exp()) ** 2 - spread - 0.92
        return -torch.logsumexp(bells + weight.log_softmax(1), 1).mean()


def turning(seed: int) -> Batches:
    """Return Bishop's curve the wrong way round."""
    g = data.dice(seed)
    y = torch.rand(1024, 1, generator=g)
    x = y + 0.3 * torch.sin(6.28 * y) + 0.05 * torch.randn(1024, 1, generator=g)
    return Batches((2 * x - 1, 3 * (2 * y - 1)), 64, seed)


class Categories(nn.Module):
    """Embeddings of categories of which some are rare, half of the features dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 6) for n in (8, 5, 12))
        self.norm, self.net = nn.BatchNorm1d(5), nn.Sequential(nn.Dropout(0.5), dense(23, 1, 48))

    def forward(self, numbers: Tensor, kinds: Tensor) -> Any:
        parts = [table(kind) for table, kind in zip(self.tables, kinds.unbind(1), strict=True)]
        return self.net(torch.cat([self.norm(numbers), *parts], 1))


def adult_bce(model: nn.Module, batch: Any) -> Tensor:
    """Yes or no, given numbers and categories."""
    return F.binary_cross_entropy_with_logits(model(batch[0], batch[1]).flatten(), batch[2].float().flatten())


class Together(nn.Module):
    """Two tasks of different units, whose weights are learned: the losses' logarithms of variance, zero at first."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Sequential(dense(6, 32, 32), nn.GELU()), nn.Linear(32, 1), nn.Linear(32, 2)
        self.log_vars = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        h = self.body(x)
        losses = torch.stack([F.mse_loss(self.one(h), y), F.cross_entropy(self.two(h), (y[:, 0] > 0).long())])
        return (losses * torch.exp(-self.log_vars) + 0.5 * self.log_vars).sum()


def full_batch(seed: int) -> Training:
    """Old-fashioned: all data at once, by the signs of the gradients."""
    model = dense(10, 1, 24, nn.Sigmoid, 1)
    batches = data.patients(seed, 442)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        return F.mse_loss(net(batch[0]), (batch[1] - 152) / 77)

    return Training(model, batches, by("rprop", model.parameters(), 1e-2), loss)


CASES: list[Case] = [
    plain("bicycles-poisson", "tables", partial(dense, 6, 1, 48), data.bikes, counted, "adam", 2e-3, 120),
    plain("gaussian-below-zero", "tables", Uncertain, rents, gaussian, "adam", 5e-3, 80),
    plain("cox-survival", "tables", partial(dense, 8, 1, 24, nn.SELU), data.survival, cox, "adam", 5e-3, 80),
    plain("factors-of-ratings", "recommendation", Factors, data.ratings, mse, "adam-l2", 2e-2, 150),
    plain("fraud-prior-in-bias", "tables", Fraud, data.rare, bce, "adam", 5e-3, 120),
    plain("fraud-weighted", "tables", partial(dense, 10, 1, 48), data.rare, weighted, "sgd", 0.02, 100),
    plain("fraud-focal", "tables", partial(dense, 10, 1, 48, nn.LeakyReLU), data.rare, focal, "adamw", 3e-3, 100),
    plain("assays-with-gaps", "tables", partial(dense, 12, 5, 48), data.assays, known_only, "adam", 5e-3, 100),
    plain("answers-with-gaps", "tables", Asked, data.gaps, ce, "nadam", 5e-3, 80),
    plain("houses-norm-first", "tables", lambda: nn.Sequential(nn.BatchNorm1d(6), dense(6, 1, 48)), data.houses, logarithmic, "adam", 5e-3, 100),
    plain("houses-in-pounds", "tables", Pounds, data.houses, mae, "adam", 5e-3, 80),
    plain("biopsies-raw-norm-first", "tables", lambda: nn.Sequential(nn.BatchNorm1d(30), dense(30, 1, 32)), partial(data.biopsies, raw=True), bce, "adam", 3e-3, 80),
    plain("self-normalising-biopsies", "tables", lecun, data.biopsies, bce, "sgd", 5e-3, 80),
    plain("mixture-of-bells", "tables", Mixture, turning, lambda m, b: m(*b), "adam", 1e-2, 120),
    plain("rare-categories", "tables", Categories, adult, adult_bce, "adagrad", 3e-2, 120),
    plain("two-tasks-learned-weights", "several tasks", Together, rents, lambda m, b: m(*b), "adam", 5e-3, 80),
    named("patients-rprop", "tables", full_batch, 60),
]  # fmt: skip
