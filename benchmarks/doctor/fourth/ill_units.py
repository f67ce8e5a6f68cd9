"""Ill in their units: flat ones, signals that become one and the same, twins. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook
from benchmarks.doctor.fourth.science import RECIPES as SCIENCE
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.vision import RECIPES as EYES


def bookish(act: Any, std: float, width: int = 20) -> nn.Sequential:
    """Return a network whose weights are normal of this deviation, whatever the number of inputs."""
    net = nn.Sequential(nn.Linear(64, width), act(), nn.Linear(width, width), act(), nn.Linear(width, 10))
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, 0, std)  # type: ignore[arg-type]
    return net


class GatedBits(nn.Module):
    """Bits by Hardtanh, as for a network of signs, after a norm or after nothing."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.act1, self.act2, self.gain = nn.Hardtanh(), nn.Hardtanh(), gain

    def forward(self, x: Tensor) -> Any:
        return self.fc3(self.act2(self.gain * self.fc2(self.act1(self.gain * self.fc1(x)))))


def flat(seed: int, ill: bool, kind: str) -> Training:
    """Units are far out, where their function has no slope."""
    if kind == "book":  # weights of deviation 8, as if there were one input and not 64
        return fit(bookish(nn.Sigmoid, 8.0 if ill else 0.25), digits(seed), ce, "adam", 2e-2)
    if kind == "bits":
        return fit(GatedBits(60.0 if ill else 1.0), digits(seed), ce, "sgd", 0.05)
    if kind == "places":  # a beam's places in millimetres, into a trunk of tanh
        u, x, y = SCIENCE["deeponet"].data(seed).tensors  # type: ignore[attr-defined]
        batches = Batches((u, 30_000 * x if ill else x, y), 32, seed)
        return cook(SCIENCE["deeponet"], seed, data=lambda s: batches, rate=1e-2)
    net: Any = nn.Sequential(
        nn.Conv1d(1, 16, 7, 2),
        nn.Tanh(),
        nn.Conv1d(16, 16, 7, 2),
        nn.Tanh(),
        nn.AdaptiveMaxPool1d(6),
        nn.Flatten(),
        nn.Linear(96, 2),
    )
    if ill:  # biases that were read from a file in another order
        for conv in (net[0], net[2]):
            nn.init.constant_(conv.bias, 12.0)
    x, y = data.activity(seed).tensors
    return fit(net, Batches((x[:, :1], (y > 1).long()), 32, seed), ce, rate=3e-3)


class WorldVAE(nn.Module):
    """A picture's code, with a price on it; returns the loss."""

    def __init__(self, price: float) -> None:
        super().__init__()
        self.enc, self.mu, self.lv = nn.Linear(64, 48), nn.Linear(48, 8), nn.Linear(48, 8)
        self.dec1, self.dec2, self.price = nn.Linear(8, 48), nn.Linear(48, 64), price

    def rebuild(self, x: Tensor) -> Any:
        return self.dec2(F.relu(self.dec1(self.mu(F.relu(self.enc(x))))))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        h = F.relu(self.enc(x))
        mu, lv = self.mu(h), self.lv(h)
        out = self.dec2(F.relu(self.dec1(mu + torch.randn_like(mu) * (0.5 * lv).exp())))
        kl = 0.5 * (mu.square() + lv.exp() - 1 - lv).sum(1).mean()
        return F.mse_loss(out, x) + self.price * kl


def world(seed: int, ill: bool) -> Training:
    """A mean over pixels, a sum over the code: the posterior collapses. github.com/AppliedDataSciencePartners/WorldModels/issues/12"""
    x = digits(seed).tensors[0]
    return fit(
        WorldVAE(1.0 if ill else 1e-3),
        digits(seed),
        lambda m, b: m(*b),
        score=lambda m: float((m.rebuild(x) - x).square().mean() / x.var()),
    )


class Masked(nn.Module):
    """Attention over words that are padded; the mask says which are padding, or which are not."""

    def __init__(self, inverted: bool) -> None:
        super().__init__()
        self.emb = nn.Embedding(28, 24, padding_idx=0)
        self.attn, self.fc = nn.MultiheadAttention(24, 2, batch_first=True), nn.Linear(24, 3)
        self.query = nn.Parameter(torch.randn(1, 1, 24))
        self.inverted = inverted

    def forward(self, x: Tensor) -> Any:
        h = self.emb(x)
        pad = x == 0
        mask = ~pad if self.inverted else pad
        return self.fc(
            self.attn(self.query.expand(len(x), -1, -1), h, h, key_padding_mask=mask, need_weights=False)[0][:, 0]
        )


def inverted(seed: int, ill: bool) -> Training:
    """key_padding_mask is True where there IS a word: only padding is attended to."""
    x, y = data.names(seed).tensors
    return fit(Masked(ill), Batches((torch.cat([x, torch.zeros_like(x[:, :3])], 1), y), 32, seed), ce, rate=1e-2)


class Spread(nn.Module):
    """Answers are spread over the links sixty times, without a share of what was; or three times, with one."""

    def __init__(self, times: int, alpha: float) -> None:
        super().__init__()
        self.lin1, self.lin2, self.times, self.alpha = nn.Linear(12, 32), nn.Linear(32, 3), times, alpha

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        a = adj / adj.sum(1, keepdim=True)
        z = h = self.lin1(x)
        for _ in range(self.times):
            z = (1 - self.alpha) * a @ z + self.alpha * h
        return self.lin2(F.relu(z))


class Standard(nn.Module):
    """Pictures are standardised over each channel, then pooled over all places: the mean of what has mean zero."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 16, 9)
        self.norm: nn.Module = nn.InstanceNorm1d(16) if norm else nn.BatchNorm1d(16)
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        h = self.norm(self.conv(x).square())
        return self.fc(h.mean(2))


class BatchFirst(nn.Module):
    """nn.GRU without batch_first: it reads along the batch, and the last row's state goes to all."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.emb, self.gru, self.fc = nn.Embedding(28, 16), nn.GRU(16, 24, batch_first=not wrong), nn.Linear(24, 3)
        self.wrong = wrong

    def forward(self, x: Tensor) -> Any:
        _, h = self.gru(self.emb(x))
        return self.fc(h[0].mean(0, keepdim=True).expand(len(x), -1) if self.wrong else h[0])


def collapses(seed: int, ill: bool, kind: str) -> Training:
    """Whatever comes in, the same goes on."""
    if kind == "spread":
        return fit(
            Spread(400 if ill else 2, 0.0 if ill else 0.2),
            data.citations(seed),
            lambda m, b: F.cross_entropy(m(b[0], b[1]), b[2]),
            rate=1e-2,
        )
    if kind == "standard":
        return fit(Standard(ill), data.activity(seed), ce, rate=1e-2)
    return fit(BatchFirst(ill), data.names(seed), ce, rate=1e-2)


def twins(seed: int, ill: bool, kind: str) -> Training:
    """All units of a layer start the same, and stay so.

    lesson: stats.stackexchange.com/questions/27112, community.deeplearning.ai/t/why-dont-weights-get-adjusted-when-initialized-to-0/431799
    """
    recipe = {
        "lesson": TABLES["rings"],
        "names": SERIES["attentive-gru"],
        "capsules": EYES["capsules"],
        "flats": TABLES["monotonic"],
    }[kind]
    if kind == "lesson":
        recipe = recipe._replace(net=lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)), rate=3e-2)
    t = cook(recipe, seed)
    if ill:
        for name, p in t.model.named_parameters():
            if kind == "names" and name.startswith(("embedding", "out", "context")):
                nn.init.constant_(p, 0.1)
            else:
                nn.init.constant_(p, 0.0 if name.endswith("bias") else -3.0 if name in ("up", "out") else 0.05)
    return t


def same_filters(seed: int, ill: bool) -> Training:
    """One filter was drawn, and repeated for all channels, in each of two convolutions."""
    net: Any = nn.Sequential(
        nn.Conv1d(6, 16, 7, 2),
        nn.SiLU(),
        nn.Conv1d(16, 16, 7, 2),
        nn.SiLU(),
        nn.AdaptiveMaxPool1d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    with torch.no_grad():
        for conv in (net[0], net[2]) if ill else ():
            conv.weight.copy_(conv.weight[:1].mean(1, keepdim=True).expand_as(conv.weight))
            conv.bias.zero_()
        if ill:
            net[6].weight.copy_(net[6].weight.view(4, 16, 2)[:, :1].expand(-1, 16, -1).reshape(4, 32))
    return fit(net, data.activity(seed), ce, rate=5e-3)


CASES = [
    ill("far-out-book", "saturated-units", "dense", partial(flat, kind="book"), 80),
    ill("far-out-bits", "saturated-units", "dense", partial(flat, kind="bits"), 80),
    ill("far-out-places", "saturated-units", "physics", partial(flat, kind="places"), 160, "unscaled-inputs"),
    ill("far-out-biases", "saturated-units", "convolutional", partial(flat, kind="biases"), 80, "signal-collapse"),
    ill("world-model", "signal-collapse", "autoencoders", world, 100),
    ill("mask-inverted", "signal-collapse", "attention", inverted, 80),
    ill("spread-too-far", "signal-collapse", "graph nets", partial(collapses, kind="spread"), 60),
    ill("mean-of-standardised", "signal-collapse", "convolutional", partial(collapses, kind="standard"), 80),
    ill("batch-for-time", "signal-collapse", "recurrent", partial(collapses, kind="batch"), 80),
    *[ill(f"same-{kind}", "symmetric-initialisation", family, partial(twins, kind=kind), steps) for kind, family, steps in (("lesson", "dense", 100), ("names", "recurrent", 80), ("capsules", "capsules", 80), ("flats", "tables", 80))],
    ill("same-filters", "symmetric-initialisation", "convolutional", same_filters, 80),
]  # fmt: skip
