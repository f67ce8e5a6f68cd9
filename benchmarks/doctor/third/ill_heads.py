"""Ill at the end: losses that do not fit their heads, outputs that are flat where they start. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks as more
from benchmarks.doctor.second.common import by, left_over
from benchmarks.doctor.second.nets import Listener
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_nets import hourglass
from benchmarks.doctor.third.pool import POOL, take, wrongly
from benchmarks.doctor.third.tasks import Do, Net


class Logistic(pl.LightningModule):
    """Lightning's own logistic regression had a softmax too many: github.com/Lightning-Universe/lightning-bolts/issues/654."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong, self.linear = wrong, nn.Sequential(nn.Flatten(), nn.Linear(144, 4))

    def training_step(self, batch: Any, number: int) -> Tensor:
        out = self.linear(batch[0])
        return F.nll_loss(F.log_softmax(F.softmax(out, 1) if self.wrong else out, 1), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 1e-2)


def bolts(seed: int, ill: bool) -> Training:
    """Return the training of `Logistic`, on pictures."""
    return Training(Logistic(ill), more.shapes(seed))


def matching(seed: int, ill: bool) -> Training:
    """Matching networks: chances of classes into cross_entropy. github.com/gitabcworld/MatchingNetworks/issues/5"""
    net = mlp(2, 8, 48, 2)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        z = F.normalize(model(batch[0]), dim=1)
        half = len(z) // 2
        chance = (5 * z[half:] @ z[:half].T).softmax(1) @ F.one_hot(batch[1][:half], 3).float()
        return F.cross_entropy(chance, batch[1][half:]) if ill else F.nll_loss((chance + 1e-6).log(), batch[1][half:])

    return Training(net, tasks.spirals(seed), by("adam", 5e-3, net.parameters()), loss)


ENDS: dict[str, tuple[str, nn.Module]] = {
    "softmax-sorter": ("sorter", nn.Softmax(-1)),
    "tanh-logits": ("separable", nn.Tanh()),
    "softmax-text": ("text", nn.Softmax(1)),
    "relu-softmax": ("arms", nn.Sequential(nn.ReLU(), nn.Softmax(1))),
}


def ended(seed: int, ill: bool, kind: str) -> Training:
    """Something that squashes stands before a loss that wants logits."""
    name, end = ENDS[kind]
    return take(
        seed,
        name,
        net=lambda: Net(lambda m, *x: m.end(m.net(*x)), net=POOL[name].net(), end=end if ill else nn.Identity()),
    )


def masks(seed: int, ill: bool, kind: str) -> Training:
    """A U-Net ends in a sigmoid before the loss that has one; or a depth map's channel is missing in the target alone.

    The second: github.com/jiwei0921/CoNet/issues/3.
    """
    net = nn.Sequential(hourglass(), nn.Sigmoid()) if kind == "twice" and ill else hourglass()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        if kind == "twice":
            return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return F.smooth_l1_loss(model(batch[0]), batch[1][:, 0] if ill else batch[1])

    return Training(
        net,
        tasks.discs(seed),
        by("adam", 1e-2, net.parameters()),
        loss,
        score=None if kind == "twice" else left_over(tasks.discs(seed)),
    )


def spread(seed: int, ill: bool, kind: str) -> Training:
    """Squeezed predictions, whole targets: github.com/deepset-ai/FARM/issues/229; the other way round: Photon-AI-Research/NeuralSolvers/issues/20."""
    name = "handfuls" if kind == "squeezed" else "table"

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out, y = model(batch[0]), batch[1]
        return (
            (
                (out.squeeze(-1) if kind == "squeezed" and ill else out)
                - (y.reshape(-1) if kind == "flat" and ill else y)
            )
            .square()
            .mean()
        )

    return take(seed, name, loss=loss, score=left_over(POOL[name].make(seed)))


def rates(seed: int, ill: bool) -> Training:
    """nn.PoissonNLLLoss takes logarithms unless told otherwise, but gets rates."""
    net = nn.Sequential(mlp(6, 1, 32, 1), nn.Softplus())
    lost = nn.PoissonNLLLoss(log_input=ill)
    return Training(
        net,
        more.counts(seed),
        by("adam", 1e-2, net.parameters()),
        lambda m, b: lost(m(b[0]), b[1]),
        score=left_over(more.counts(seed)),
    )


def signs(seed: int, ill: bool, kind: str) -> Training:
    """Losses for labels of -1 and 1 get 0 and 1."""
    net = mlp(2, 1, 48, 2)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out, y = model(batch[0])[:, 0], batch[1].float() if ill else 2.0 * batch[1] - 1
        return F.soft_margin_loss(out, y) if kind == "soft" else F.relu(1 - y * out).mean()

    held = next(iter(tasks.moons(seed, 256)))
    return Training(
        net,
        tasks.moons(seed),
        by("adam", 5e-3, net.parameters()),
        loss,
        score=lambda m: float(
            ((m(held[0])[:, 0] > (0.5 if kind == "hinge" and ill else 0)) != held[1].bool()).float().mean()
        ),
    )


def heard(seed: int, ill: bool) -> Training:
    """Connectionist temporal classification of chances, where it wants their logarithms."""
    net = Listener()
    lengths = {"t": torch.full((16,), 18), "y": torch.full((16,), 3)}

    def loss(model: nn.Module, batch: Any, right: bool = not ill) -> Tensor:
        out = model(batch[0])
        out = out.log_softmax(2) if right else out.softmax(2)
        return F.ctc_loss(out.transpose(0, 1), batch[1], lengths["t"], lengths["y"])

    held = next(iter(more.speech(seed)))
    return Training(
        net, more.speech(seed), by("adam", 5e-3, net.parameters()), loss, score=lambda m: float(loss(m, held, True)) / 3
    )


def flat(seed: int, ill: bool, kind: str) -> Training:
    """A squashing output starts, or must end, where it is flat."""
    if kind == "stars":  # a sigmoid for one to five stars
        net: nn.Module = nn.Sequential(POOL["matrix"].net(), nn.Sigmoid() if ill else nn.Identity())
        x, y = tasks.ratings(seed).tensors
        return Training(
            net,
            Batches((x, (3 + y).clamp(1, 5)), 128, seed),
            by("adam", 2e-2, net.parameters()),
            lambda m, b: F.mse_loss(m(b[0]), b[1]),
        )
    ends: dict[str, nn.Module] = {
        "hard-mask": nn.Hardsigmoid(),
        "clamped": Do(lambda h: h.clamp(0, 1)),
        "deep-mask": nn.Sigmoid(),
    }
    net = nn.Sequential(
        hourglass({"hard-mask": -8.0, "clamped": -5.0, "deep-mask": -40.0}[kind] if ill else 0.2), ends[kind]
    )
    return Training(net, tasks.discs(seed), by("adam", 5e-3, net.parameters()), lambda m, b: F.mse_loss(m(b[0]), b[1]))


def scored(seed: int, ill: bool, kind: str) -> Training:
    """Chances, or raw logits, into nll_loss."""
    name = {"chances": "separable", "logits": "perceiver"}[kind]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])
        return F.nll_loss((out.softmax(1) if kind == "chances" else out) if ill else out.log_softmax(1), batch[1])

    return take(seed, name, loss=loss, score=wrongly(name, seed), **({"rate": 1e-3} if kind == "chances" else {}))


CASES: list[Case] = [
    ill("bolts-logistic", "loss-head-mismatch", "lightning", bolts, 100),
    ill("matching-net", "loss-head-mismatch", "metric learning", matching, 100),
    *[ill(kind, "loss-head-mismatch", POOL[name].family, partial(ended, kind=kind), 100, also) for kind, also in (("softmax-sorter", ""), ("tanh-logits", "saturated-output"), ("softmax-text", ""), ("relu-softmax", "dead-units")) for name in [ENDS[kind][0]]],
    ill("sigmoid-unet", "loss-head-mismatch", "segmentation", partial(masks, kind="twice"), 80),
    ill("channel-of-depth", "loss-head-mismatch", "segmentation", partial(masks, kind="depth"), 80),
    *[ill(f"shapes-{kind}", "loss-head-mismatch", family, partial(spread, kind=kind), 120) for kind, family in (("squeezed", "sets"), ("flat", "tables"))],
    ill("poisson-of-rates", "loss-head-mismatch", "tables", rates, 120),
    *[ill(f"signs-{kind}", "loss-head-mismatch", "dense", partial(signs, kind=kind), 80) for kind in ("soft", "hinge")],
    ill("ctc-of-chances", "loss-head-mismatch", "recurrent", heard, 80),
    *[ill(f"nll-of-{kind}", "loss-head-mismatch", family, partial(scored, kind=kind), 60) for kind, family in (("chances", "convolutional"), ("logits", "transformers from scratch"))],
    *[ill(f"flat-{kind}", "saturated-output", family, partial(flat, kind=kind), 80, also) for kind, family, also in (
        ("stars", "embeddings", "loss-head-mismatch unscaled-targets"), ("hard-mask", "segmentation", ""), ("clamped", "segmentation", ""), ("deep-mask", "segmentation", ""))],
]  # fmt: skip
