"""Healthy, though a rule of thumb would not have it: plateaus, parts that take turns, losses below zero, rates of a thousand."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, dice, mse, script
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES


def parity(seed: int) -> Training:
    """The parity of three of ten bits: nothing for a long while, and then everything."""
    x = torch.randint(0, 2, (2048, 10), generator=dice(seed)).float() * 2 - 1
    y = (x[:, 1] * x[:, 4] * x[:, 7] > 0).long()
    net = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 2))
    return fit(net, Batches((x, y), 128, seed), ce, rate=1e-2)


class Recaller(nn.Module):
    """A GRU that finds out late what it is to remember."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.gru, self.fc = nn.Embedding(5, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 4)
        with torch.no_grad():
            self.gru.get_parameter("bias_ih_l0")[32:64] = 3.0

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.gru(self.emb(x))[1][0])


def recalled(seed: int) -> Training:
    """Clipped at a norm of a quarter, which most gradients have."""
    net = Recaller()
    opt = torch.optim.Adam(net.parameters(), 1e-2)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = F.cross_entropy(m(batch[0]), batch[1])
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 0.25)
        opt.step()
        return loss

    return Training(net, data.reminder(seed, length=24), opt, train_step=step)


def sparse_and_dense(seed: int) -> Training:
    """A table of words with sparse gradients, and its own optimiser; the rest has another."""
    net: Any = nn.ModuleDict({"emb": nn.EmbeddingBag(400, 16, sparse=True), "fc": nn.Linear(16, 3)})
    x, y = data.names(seed).tensors
    opts = [torch.optim.SparseAdam(list(net["emb"].parameters()), 2e-2), torch.optim.Adam(net["fc"].parameters(), 1e-2)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        loss = F.cross_entropy(m["fc"](m["emb"](batch[0])), batch[1])
        for o in opts:
            o.zero_grad()
        loss.backward()
        for o in opts:
            o.step()
        return loss

    return Training(net, Batches((x * 14, y), 32, seed), opts, train_step=step)


def in_turns(seed: int) -> Training:
    """Two factors of a matrix: one learns at even steps, the other at odd ones."""
    net: Any = nn.ParameterDict(
        {"u": nn.Parameter(0.5 * torch.randn(40, 4)), "v": nn.Parameter(0.5 * torch.randn(30, 4))}
    )
    target = torch.randn(40, 3, generator=dice(seed)) @ torch.randn(3, 30, generator=dice(seed + 1))
    opts = [torch.optim.SGD([net["u"]], 20.0), torch.optim.SGD([net["v"]], 20.0)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        m["u"].requires_grad_(i % 2 == 0)
        m["v"].requires_grad_(i % 2 == 1)
        loss = F.mse_loss(m["u"] @ m["v"].T, target)
        opts[i % 2].zero_grad()
        loss.backward()
        opts[i % 2].step()
        return loss

    return Training(net, [()] * 300, opts, train_step=step)


class Slimmable(nn.Module):
    """A network of which a random number of units is used at each step; the last ones rarely."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        n = int(torch.randint(1, 9, ())) * 8 if self.training else 64
        h = F.relu(F.linear(x, self.fc1.weight[:n], self.fc1.bias[:n]))
        return F.linear(h, self.fc2.weight[:, :n] * (64 / n) ** 0.5, self.fc2.bias)


class Cosine(nn.Module):
    """Two towers of one thing in two views; the loss is a cosine, and goes to -1."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(32, 8), nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Any:
        return 1.5 - F.cosine_similarity(self.a(x[:, :32]), self.b(x[:, 32:])).mean()


def thousand(seed: int) -> Training:
    """A rate of a thousand: the loss is a mean over pixels, batch and a tiny unit."""
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 64))
    return fit(net, digits(seed), lambda m, b: 1e-4 * F.mse_loss(m(b[0]), b[0]), "sgd", 2e3)


def one_by_one(seed: int) -> Training:
    """Batches of one, with a group norm."""
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 4),
    )
    return fit(net, data.boxes(seed, 1), mse, rate=1e-3)


def quantile(seed: int) -> Training:
    """The ninth decile, by a loss that has no curvature."""

    def pinball(m: nn.Module, b: Any) -> Any:
        miss = b[1] - m(b[0])
        return torch.maximum(0.9 * miss, -0.1 * miss).mean()

    return cook(SERIES["gated-residual"], seed, loss=pinball)


def hopeless_half(seed: int) -> Training:
    """Half of the targets is noise: the loss falls to one half, and stays there."""
    x = torch.randn(1024, 6, generator=dice(seed))
    y = torch.cat([x[:, :2] - x[:, 2:4], 1.4 * torch.randn(1024, 2, generator=dice(seed + 1))], 1)
    net = nn.Sequential(nn.Linear(6, 24), nn.Hardswish(), nn.Linear(24, 4))
    return fit(net, Batches((x, y), 64, seed), mse, rate=1e-2)


class Growing(nn.Module):
    """A second block joins in, by a weight that goes from zero to one (progressive growing)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.share = 0.0

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.one(x))
        return self.out(h if self.share == 0 else (1 - self.share) * h + self.share * torch.tanh(self.two(h)))


def growing(seed: int) -> Training:
    """The second block has no gradient for twenty steps."""
    net = Growing()
    opt = torch.optim.Adam(net.parameters(), 5e-3)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        m.share = min(1.0, max(0.0, (i - 20) / 20))
        loss = F.cross_entropy(m(batch[0]), batch[1])
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, digits(seed), opt, train_step=step)


CASES: list[Case] = [
    script("parity-plateau", "dense", parity, 200),
    script("recalled-late-clipped", "recurrent", recalled, 120),
    script("sparse-and-dense", "embeddings", sparse_and_dense, 80),
    script("factors-in-turns", "several optimisers", in_turns, 100),
    script("slimmable", "dense", lambda seed: fit(Slimmable(), digits(seed), ce, rate=5e-3), 80),
    script("cosine-below-zero", "contrastive", lambda seed: fit(Cosine(), digits(seed), lambda m, b: m(b[0]), rate=3e-3), 80),
    script("rate-of-thousands", "autoencoders", thousand, 60),
    script("one-by-one-group-norm", "detection", one_by_one, 150),
    script("ninth-decile", "forecasting", quantile, 80),
    script("half-is-noise", "tables", hopeless_half, 100),
    script("grows-a-block", "dense", growing, 80),
]  # fmt: skip
