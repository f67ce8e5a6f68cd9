"""Ill in scale and step: raw inputs and targets, rates, schedules, clipping, tiny batches under a norm, swings. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, left_over, squared, wrong_share
from benchmarks.doctor.second.tasks import standard
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.optimisers import Lion
from benchmarks.doctor.third.pool import POOL, take
from benchmarks.doctor.third.tasks import Net


def raw(seed: int, ill: bool, kind: str) -> Training:
    """Inputs as they come. Cured: mean 0, variance 1."""
    if kind == "converter":  # what a converter of 16 bits gives
        return take(seed, "separable", net=lambda: nn.Sequential(nn.Conv1d(1, 24, 7, 2), nn.ReLU(), nn.Conv1d(24, 24, 5, 2), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(24, 4)),
                    make=partial(tasks.motifs, scale=4e3, shift=3.3e4) if ill else tasks.motifs)  # fmt: skip
    if kind == "income":  # one column in euros, among nine that are scaled
        scale, shift = torch.ones(10), torch.zeros(10)
        scale[9], shift[9] = 2.5e4, 6e4
        return take(
            seed,
            "table",
            make=partial(tasks.friedman, x_scale=scale, x_shift=shift) if ill else tasks.friedman,
            way="sgd",
            rate=0.02,
        )
    if kind == "hounsfield":  # a scanner's units
        x, y = tasks.volumes(seed).tensors
        layers = [nn.Conv3d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv3d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
        return take(
            seed,
            "solid",
            net=lambda: nn.Sequential(*layers, nn.Linear(128, 3)),
            make=lambda s: Batches((800 * x + 500 if ill else x, y), 24, s),
            way="nesterov",
            rate=0.02,
        )
    if kind == "years":  # the time of a measurement in seconds since 1970
        scale, shift = torch.ones(10), torch.zeros(10)
        scale[5], shift[5] = 3e7, 1.6e9
        return take(
            seed,
            "table",
            net=partial(mlp, 10, 1, 48, 2, nn.Tanh),
            make=partial(tasks.friedman, x_scale=scale, x_shift=shift) if ill else tasks.friedman,
        )
    if kind == "degrees":  # a pendulum's angle and speed in millidegrees
        x, y = tasks.pendulum(seed).tensors
        net = Net(lambda m, s: m.net(s).unflatten(1, (8, 2)), net=mlp(2, 16, 48, 2))
        return take(seed, "pendulum", net=lambda: net, make=lambda s: Batches((57_296 * x if ill else x, y), 48, s))
    x, y = tasks.discs(seed).tensors
    return take(
        seed,
        "solid",
        net=lambda: nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 3, padding=1)),
        make=lambda s: Batches((9e3 * x + 2e4 if ill else x, y), 16, s),
        loss=lambda m, b: F.binary_cross_entropy_with_logits(m(b[0]), b[1]),
    )


def far(seed: int, ill: bool, kind: str) -> Training:
    """Targets in their own unit. Cured: mean 0, variance 1. `cubes`: discuss.pytorch.org/t/96648."""
    if kind == "cubes":
        x = torch.arange(1.0, 4000.0)[:, None]
        y, name = x**3, "table"
        scale, shift = float(y.std()), float(y.mean())
        batches = Batches((x if ill else standard(x), standard(y)), 200, seed)
        net: Any = mlp(1, 1, 50, 1)
    else:
        name, scale, shift = {
            "prices": ("table", 4e4, 2.5e5),
            "views": ("matrix", 5e5, 1e6),
            "cents": ("handfuls", 3e4, 8e4),
            "far-frame": ("operator", 300.0, 2e4),
        }[kind]
        batches, net = POOL[name].make(seed), POOL[name].net()
    x, y = batches.tensors
    made = Batches((x, y * scale + shift if ill else y), batches.size, seed)
    return take(
        seed,
        name,
        net=lambda: net,
        make=lambda s: made,
        score=left_over(batches, lambda out: (out - shift) / scale if ill else out),
    )


LARGE = {
    "sorter": 0.3,
    "molecules": 0.3,
    "states": 0.5,
    "kernels": 30.0,
    "perceiver": 0.3,
    "mixture": 2.0,
    "pendulum": 1.0,
    "text": 3.0,
}
SMALL = {"sorter": 1e-8, "molecules": 1e-7, "operator": 1e-7, "kernels": 1e-6, "brackets": 1e-7}


def rated(seed: int, ill: bool, name: str, rate: float) -> Training:
    """A rate of orders of magnitude too much or too little."""
    return take(seed, name, **({"rate": rate} if ill else {}))


class Cycle(pl.LightningModule):
    """One cycle to a peak a thousand times too high, or a decay meant per epoch that runs per step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.net = kind, mlp(2, 3, 48, 2)

    def training_step(self, batch: Any, number: int) -> Tensor:
        return classify(self.net, batch)

    def configure_optimizers(self) -> Any:
        rates = torch.optim.lr_scheduler
        if self.kind in ("peak", "right-peak"):
            optimizer: Any = torch.optim.SGD(self.parameters(), 0.1, 0.9)
            schedule: Any = rates.OneCycleLR(optimizer, 80.0 if self.kind == "peak" else 0.3, 81, pct_start=0.2)
        else:
            optimizer = torch.optim.AdamW(self.parameters(), 1e-2)
            schedule = rates.ExponentialLR(optimizer, 0.2 if self.kind == "decay" else 0.99)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def cycled(seed: int, ill: bool, kind: str) -> Training:
    """Return the training of `Cycle`."""
    return Training(Cycle(kind if ill else f"right-{kind}"), tasks.spirals(seed))


def other_steps(seed: int, ill: bool, kind: str) -> Training:
    """Optimisers and what is around them, misjudged.

    `per-batch`: github.com/pytorch/tutorials/pull/640; `lion`: Adam's rate for an optimiser of signs.
    """
    net = mlp(2, 3, 48, 2)
    optimizer: Any = torch.optim.Adam(net.parameters(), 1e-2)
    rates = torch.optim.lr_scheduler
    schedule: Any = None
    if kind == "lion":
        optimizer = Lion(net.parameters(), 0.3 if ill else 2e-3)
    elif kind == "growing":  # the factor is above one
        schedule = rates.ExponentialLR(optimizer, 1.25 if ill else 0.99)
    elif kind == "absolute":  # LambdaLR wants a factor and gets a rate
        schedule = rates.LambdaLR(optimizer, lambda n: 1e-5 if ill else 1.0)
    elif kind == "per-batch":  # seven epochs became seven batches
        schedule = rates.StepLR(optimizer, 7 if ill else 70, 0.1)
    else:  # "clipped": a norm of a millionth, under plain descent
        optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9)

    def step(model: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        loss = classify(model, batch)
        loss.backward()
        if kind == "clipped":
            nn.utils.clip_grad_norm_(model.parameters(), 1e-5 if ill else 1.0)
        stepper.step()
        if schedule:
            schedule.step()
        return loss

    return Training(net, tasks.spirals(seed), optimizer, train_step=step)


def unsearched(seed: int, ill: bool) -> Training:
    """LBFGS at a rate of one without a line search, on small batches."""
    net = mlp(2, 3, 24, 2)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = classify(model, batch)
            loss.backward()
            return loss

        return torch.as_tensor(optimizer.step(closure)).detach()

    optimizer = torch.optim.LBFGS(
        net.parameters(), lr=5.0 if ill else 1.0, max_iter=4, line_search_fn=None if ill else "strong_wolfe"
    )
    return Training(net, tasks.spirals(seed, 32 if ill else 960), optimizer, train_step=step)


def normed(inputs: int) -> list[nn.Module]:
    """Return two layers, each with a batch norm."""
    return [
        nn.Linear(inputs, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
    ]


def tiny(seed: int, ill: bool, kind: str) -> Training:
    """Batch norm over two samples; `solid`: github.com/xuebinqin/BASNet/issues/42. Cured: 32 of them."""
    size = 2 if ill else 32
    if kind == "table":
        make: Any = tasks.friedman
        net: nn.Module = nn.Sequential(*normed(10), nn.Linear(32, 1))
        return Training(
            net,
            make(seed, size=size),
            by("adam", 5e-3, net.parameters()),
            squared,
            score=left_over(make(seed, size=512)),
        )
    if kind == "solid":
        make, net = (
            tasks.volumes,
            nn.Sequential(
                nn.Conv3d(1, 8, 3, 2, 1),
                nn.ReLU(),
                nn.Conv3d(8, 16, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                *normed(128),
                nn.Linear(32, 3),
            ),
        )
    elif kind == "arms":
        make, net = tasks.spirals, nn.Sequential(*normed(2), nn.Linear(32, 3))
    else:
        make, net = (
            tasks.reviews,
            nn.Sequential(nn.EmbeddingBag(60, 24, mode="sum", padding_idx=0), *normed(24), nn.Linear(32, 2)),
        )
    return Training(
        net,
        make(seed, size=size),
        by("adam", 5e-3, net.parameters()),
        classify,
        score=wrong_share(make(seed, size=256)),
    )


def swings(seed: int, ill: bool, kind: str) -> Training:
    """The loss goes up and down for ever."""
    if kind == "views":  # least squares at the edge
        x, y = tasks.couples(seed).tensors
        net: nn.Module = nn.Linear(16, 16)
        edge = 2 / (float(2 * torch.linalg.eigvalsh(x.T @ x / len(x))[-1]) / 16)
        return Training(
            net,
            Batches((x, y), len(x), seed),
            torch.optim.SGD(net.parameters(), (0.9999 if ill else 0.4) * edge),
            squared,
        )
    if kind == "table":
        net = mlp(10, 1, 48, 1, nn.Tanh)
        return Training(
            net, tasks.friedman(seed), torch.optim.SGD(net.parameters(), 0.25 if ill else 0.03, 0.9), squared
        )
    if kind == "arms":
        net = mlp(2, 3, 48, 2, nn.Tanh)
        return Training(
            net,
            tasks.spirals(seed),
            torch.optim.SGD(net.parameters(), 4.0 if ill else 0.2, 0.9 if ill else 0.8),
            classify,
        )
    return take(seed, "states", way="sgd", rate=0.2 if ill else 0.02)


CASES: list[Case] = [
    *[ill(f"as-it-comes-{kind}", "unscaled-inputs", family, partial(raw, kind=kind), 60) for kind, family in (
        ("converter", "convolutional"), ("income", "tables"), ("hounsfield", "convolutional"), ("years", "tables"), ("degrees", "physics"), ("sixteen-bit", "segmentation"))],
    *[ill(f"own-unit-{kind}", "unscaled-targets", family, partial(far, kind=kind), 100, also) for kind, family, also in (
        ("cubes", "tables", "unscaled-inputs"), ("prices", "tables", ""), ("views", "embeddings", ""), ("cents", "sets", ""), ("far-frame", "physics", ""))],
    *[ill(f"too-large-{name}", "step-too-large", POOL[name].family, partial(rated, name=name, rate=rate), 80, "oscillation dead-units saturated-units signal-collapse") for name, rate in LARGE.items()],
    *[ill(f"too-large-{kind}", "step-too-large", "optimisers", partial(other_steps, kind=kind), 80, "oscillation dead-units signal-collapse") for kind in ("lion", "growing")],
    ill("too-large-peak", "step-too-large", "lightning", partial(cycled, kind="peak"), 80, "oscillation dead-units signal-collapse"),
    ill("too-large-lbfgs", "step-too-large", "closures", unsearched, 30, "oscillation dead-units signal-collapse"),
    *[ill(f"too-small-{name}", "step-too-small", POOL[name].family, partial(rated, name=name, rate=rate), 80) for name, rate in SMALL.items()],
    *[ill(f"too-small-{kind}", "step-too-small", "optimisers", partial(other_steps, kind=kind), 80) for kind in ("absolute", "per-batch", "clipped")],
    ill("too-small-decay", "step-too-small", "lightning", partial(cycled, kind="decay"), 80),
    *[ill(f"pair-{kind}", "batchnorm-tiny-batch", family, partial(tiny, kind=kind), 100) for kind, family in (
        ("solid", "convolutional"), ("arms", "dense"), ("reviews", "embeddings"), ("table", "tables"))],
    *[ill(f"swinging-{kind}", "oscillation", family, partial(swings, kind=kind), 100, "step-too-large") for kind, family in (
        ("views", "contrastive"), ("table", "tables"), ("arms", "dense"), ("states", "recurrent"))],
]  # fmt: skip
