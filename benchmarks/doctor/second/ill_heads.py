"""Ill at the end: losses that do not fit their heads, outputs that are flat where they start."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, left_over, wrong_share
from benchmarks.doctor.second.healthy_physics import Rendered, rays
from benchmarks.doctor.second.nets import PointNet, Waves
from benchmarks.doctor.second.pool import POOL, from_pool, linears

HEADS = {
    "softmax": nn.Softmax(-1),
    "sigmoid": nn.Sigmoid(),
    "log-softmax-over-time": nn.LogSoftmax(1),
    "softmax-of-batch": nn.Softmax(0),
}


class Ends(nn.Module):
    """A net and what somebody put behind it."""

    def __init__(self, net: nn.Module, end: nn.Module) -> None:
        super().__init__()
        self.net, self.end = net, end

    def forward(self, *x: Tensor) -> Tensor:
        return self.end(self.net(*x))


def ended(seed: int, ill: bool, name: str, end: str) -> Training:
    """Classification whose network ends in a softmax or a sigmoid though the loss wants logits."""
    well = POOL[name]
    nll = end in ("log-softmax-over-time",)
    head: nn.Module = HEADS[end] if ill else nn.Identity()

    def loss(net: nn.Module, batch: Any) -> Tensor:
        if nll and ill:  # the logarithm of a softmax over words, where it should be over tags
            return F.nll_loss(net(batch[0]).flatten(0, 1), batch[1].flatten())
        return well.loss(net, batch)

    return from_pool(seed, name, net=lambda: Ends(well.net(), head), loss=loss, rate=well.rate / 2)


def chances(seed: int, ill: bool, name: str) -> Training:
    """Probabilities into the negative log likelihood."""
    well = POOL[name]

    def loss(net: nn.Module, batch: Any) -> Tensor:
        out = net(*batch[:-1]).flatten(0, -2)
        return F.nll_loss(out.softmax(1) if ill else out.log_softmax(1), batch[-1].flatten())

    return from_pool(seed, name, loss=loss, score=wrong_share(well.make(seed)), rate=well.rate / 3)


def twice(seed: int, ill: bool, kind: str) -> Training:
    """A sigmoid before a loss that has one; or none before a loss that has none, so that somebody clamps."""
    well = POOL["labels" if kind != "fields" else "fields"]
    x, y = next(iter(well.make(seed)))

    def loss(net: nn.Module, batch: Any) -> Tensor:
        out = net(batch[0])
        if ill and kind == "clamped":
            return F.binary_cross_entropy(out.clamp(0, 1), batch[1])
        return F.binary_cross_entropy_with_logits(out.sigmoid() if ill else out, batch[1])

    def score(net: nn.Module) -> float:
        with torch.no_grad():
            out = net(x)
            if ill and kind != "clamped":
                return float(F.binary_cross_entropy_with_logits(out.sigmoid(), y))
            return float(((out > (0.5 if ill else 0.0)) != y.bool()).float().mean())

    return from_pool(seed, "fields" if kind == "fields" else "labels", loss=loss, score=score)


def spread(seed: int, ill: bool, kind: str) -> Training:
    """Predictions (B, 1) against targets (B,)."""
    if kind == "diabetes":
        net, batches, rate = mlp(10, 1, 32, 1), tasks.diabetes(seed), 1e-2
    elif kind == "cloud":
        x = tasks.clouds(seed).tensors[0]
        net, batches, rate = PointNet(1), Batches((x, tasks.standard(x.square().mean((1, 2))[:, None])), 24, seed), 5e-3
    elif kind == "forecast":
        x, y = tasks.series(seed).tensors
        net, batches, rate = Waves(1), Batches((x, y[:, :1].contiguous()), 32, seed), 5e-3
    else:
        x, y = tasks.trees(seed).tensors
        net, batches, rate = mlp(10, 1, 64, 2), Batches((x, y), 64, seed), 5e-3
    distance = F.l1_loss if kind == "absolute" else F.huber_loss if kind == "diabetes" else F.mse_loss

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return distance(model(batch[0]), batch[1].squeeze() if ill else batch[1])

    return Training(net, batches, by("adam", rate, net.parameters()), loss, score=left_over(batches))


def distilled(seed: int, ill: bool) -> Training:
    """Probabilities instead of their logarithms into kl_div."""
    teacher = mlp(24, 4, 64, 1)
    batches = tasks.factors(seed)
    warm = torch.optim.Adam(teacher.parameters(), 1e-2)
    for _, (x, y) in zip(range(60), batches, strict=False):
        warm.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        warm.step()
    held = next(iter(batches))[0]

    def near(net: nn.Module, x: Tensor, right: bool) -> Tensor:
        with torch.no_grad():
            wanted = (teacher(x) / 2).softmax(1)
        out = (net(x) / 2).log_softmax(1)
        return F.kl_div(out if right else out.exp(), wanted, reduction="batchmean")

    def score(net: nn.Module) -> float:
        return float(near(net, held, True))

    pupil = mlp(24, 4, 24, 1)
    return Training(
        pupil,
        batches,
        by("adam", 2e-2, pupil.parameters()),
        lambda net, batch: near(net, batch[0], not ill),
        score=score,
    )


def rates(seed: int, ill: bool) -> Training:
    """The logarithm of a variance, taken for the variance."""
    net, batches = mlp(10, 2, 48, 2), tasks.trees(seed)

    def likely(model: nn.Module, batch: Any) -> Tensor:
        mean, log = model(batch[0]).chunk(2, 1)
        return F.gaussian_nll_loss(mean, batch[1], log.clamp(min=0) if ill else log.clamp(-5, 5).exp())

    return Training(
        net, batches, by("adam", 5e-3, net.parameters()), likely, score=left_over(batches, lambda out: out[:, :1])
    )


def out_of_range(seed: int, ill: bool, kind: str) -> Training:
    """Targets that the loss takes though they mean nothing to it."""
    x, y = POOL["labels"].make(seed).tensors
    held = x[:64], y[:64]

    def score(net: nn.Module) -> float:
        with torch.no_grad():
            return float(((net(held[0]) > 0) != held[1].bool()).float().mean())

    made = 2 * y if kind == "one-or-two" and ill else 100 * y if ill else y  # 0 or 2; or per cent
    return from_pool(seed, "labels", make=lambda s: Batches((x, made), 64, s), score=score)


def flat(seed: int, ill: bool, kind: str) -> Training:
    """A squashing output that starts, or must end, where it is flat."""
    if kind == "rays":  # the colour's sigmoid starts at zero
        net: Any = Rendered()
        if ill:
            with torch.no_grad():
                net.field[-1].bias[1] = -30.0
        return Training(net, rays(seed), by("adam", 1e-2, net.parameters()), lambda m, b: F.mse_loss(m(b[0]), b[1]))
    if kind == "counts":  # a sigmoid for numbers up to twenty
        net, batches = mlp(6, 1, 32, 1), tasks.counts(seed)

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return F.mse_loss(model(batch[0]).sigmoid() if ill else model(batch[0]), 4 + 4 * batch[1])

        return Training(net, batches, by("adam", 2e-2, net.parameters()), loss)
    net = nn.Sequential(mlp(24, 24, 48, 2), nn.Sigmoid() if kind == "pixels" else nn.Tanh())
    if ill:
        with torch.no_grad():
            linears(net)[-1].weight.mul_(800.0 if kind == "actor" else 1.0)
            linears(net)[-1].bias.fill_(0.0 if kind == "actor" else -40.0)

    def rebuilt(model: nn.Module, batch: Any) -> Tensor:
        wanted = (batch[0] > 0).float() if kind == "pixels" else 0.5 * torch.tanh(batch[0])
        return F.mse_loss(model(batch[0]), wanted)

    return Training(net, tasks.factors(seed), by("adam", 3e-3, net.parameters()), rebuilt)


CASES: list[Case] = [
    *[ill(f"{end}-{name}", "loss-head-mismatch", POOL[name].family, partial(ended, name=name, end=end), 60, also) for name, end, also in (
        ("vit", "softmax", ""), ("lenet", "softmax", ""), ("pointnet", "sigmoid", ""), ("gcn", "softmax", ""), ("tagger", "log-softmax-over-time", ""), ("highway", "softmax-of-batch", ""))],
    *[ill(f"chances-{name}", "loss-head-mismatch", POOL[name].family, partial(chances, name=name), 60) for name in ("lenet", "mixer", "gat")],
    *[ill(f"sigmoid-{kind}", "loss-head-mismatch", family, partial(twice, kind=kind), 60) for kind, family in (("labels", "tables"), ("fields", "embeddings"), ("clamped", "tables"))],
    *[ill(f"spread-{kind}", "loss-head-mismatch", family, partial(spread, kind=kind), 100) for kind, family in (("diabetes", "tables"), ("cloud", "sets"), ("forecast", "forecasting"), ("absolute", "tables"))],
    ill("kl-of-chances", "loss-head-mismatch", "teachers", distilled, 100),
    ill("variance-of-log", "loss-head-mismatch", "tables", rates, 80, "nan-backward nan-forward step-too-large"),
    ill("one-or-two", "loss-head-mismatch", "tables", partial(out_of_range, kind="one-or-two"), 60),
    ill("per-cent", "loss-head-mismatch", "tables", partial(out_of_range, kind="per-cent"), 60, "unscaled-targets"),
    *[ill(f"flat-{kind}", "saturated-output", family, partial(flat, kind=kind), 80, also) for kind, family, also in (
        ("rays", "coordinates", ""), ("counts", "tables", "unscaled-targets loss-head-mismatch"), ("pixels", "autoencoders", ""), ("actor", "reinforcement", ""))],
]  # fmt: skip
