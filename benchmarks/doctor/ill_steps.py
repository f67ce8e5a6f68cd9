"""Ill in scale and step: inputs, targets, rates, tiny batches under a norm, a loss that swings."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Batches, Case, Training, ill, training
from benchmarks.doctor.losses import classify, foretell, rebuild, regress, segment
from benchmarks.doctor.nets import Attends, Coder, Recurrent, ResCnn, UNet, cnn, mlp, resmlp

grey = partial(data.pictures, side=8, channels=1, size=32)
Net = Callable[[], nn.Module]


def stretched(batches: Batches, factor: Tensor | float, shift: Tensor | float = 0.0) -> Batches:
    """Return the batches with inputs times a factor plus a shift."""
    x, *rest = batches.tensors
    return Batches((x * factor + shift, *rest), batches.size, batches.seed)


def inputs(seed: int, ill: bool, kind: str) -> Training:
    """Inputs as they come out of a table or a file. Cured: mean 0, variance 1."""
    if kind in ("table", "table-tanh", "one-column"):
        batches = data.table(seed)
        scales = (
            torch.logspace(-3, 4, 12) if kind != "one-column" else torch.ones(12).index_fill_(0, torch.tensor([3]), 1e5)
        )
        if ill:
            batches = stretched(batches, scales, 3 * scales)
        return training(mlp(12, 2, 32, 2, nn.Tanh if kind == "table-tanh" else nn.ReLU), batches, classify, "sgd", 0.05)
    if kind == "timestamps":
        batches = data.teacher(seed)
        return training(
            mlp(8, 1, act=nn.Tanh), stretched(batches, 1.0, 1.7e9) if ill else batches, regress, "adam", 3e-3
        )
    if kind == "pixels-255":
        batches = grey(seed)
        return training(
            cnn(norm=False, depth=3), stretched(batches, 255.0, 255.0) if ill else batches, classify, "sgd", 0.05
        )
    if kind == "sensor":
        batches = data.waves(seed)
        return training(
            Recurrent("GRU", 1, 3), stretched(batches, 2e4, 1e5) if ill else batches, classify, "adam", 1e-2
        )
    batches = data.digits(seed)  # "offset": a large mean beside a small variance
    return training(mlp(64, 10), stretched(batches, 1.0, 500.0) if ill else batches, classify, "sgd", 0.05)


def targets(seed: int, ill: bool, kind: str) -> Training:
    """Targets in pounds or metres. Cured: mean 0, variance 1. Scored in the targets' own deviation."""
    scale, shift = {
        "prices": (1e5, 3e5),
        "large": (1e4, 0.0),
        "shifted": (1.0, 2000.0),
        "tiny": (1e4, 5e4),
        "rnn": (1e3, 5e3),
        "deep": (3e3, 1e4),
        "coordinates": (1e-2, 1e3),
        "incomes": (1e6, 0.0),
    }[kind]
    batches = data.adding(seed, length=10) if kind == "rnn" else data.teacher(seed)
    if kind == "rnn":
        batches = Batches((batches.tensors[0], batches.tensors[1] * 2.5), 32, seed)
    held = next(iter(batches))
    if ill:
        batches = Batches((batches.tensors[0], batches.tensors[1] * scale + shift), batches.size, seed)
    model: nn.Module = {"prices": lambda: mlp(8, 1), "large": lambda: mlp(8, 1, act=nn.Tanh), "shifted": lambda: mlp(8, 1, 32, 2),
                        "tiny": lambda: mlp(8, 1, 16, 1), "rnn": lambda: Recurrent("GRU", 2, 1), "deep": lambda: resmlp(8, 1, depth=3), "coordinates": lambda: mlp(8, 1, 48, 2, nn.SiLU), "incomes": lambda: mlp(8, 1, 32, 3, nn.GELU, nn.LayerNorm)}[kind]()  # fmt: skip

    def score(net: nn.Module) -> float:
        with torch.no_grad():
            out = net(held[0])
        return float((((out - shift) / scale if ill else out) - held[1]).square().mean() / held[1].var())

    optimizer, rate = ("sgd", 0.02) if kind == "large" else ("adam", 1e-2)
    return training(model, batches, regress, optimizer, rate, score)


RATES: dict[str, tuple[Net, Callable[[int], Any], Any, str, float, float, float]] = {
    # name: net, data, loss, optimiser, a sensible rate, one too large, one too small
    "mlp-tanh": (partial(mlp, 64, 10, act=nn.Tanh), data.digits, classify, "sgd", 0.05, 30.0, 1e-7),
    "transformer": (partial(Attends, 30, 2), data.tokens, classify, "adam", 1e-3, 0.3, 1e-8),
    "transformer-post": (
        partial(Attends, 40, 40, first=False, causal=True),
        data.progressions,
        foretell,
        "adam",
        2e-3,
        0.1,
        1e-7,
    ),
    "lstm": (
        partial(Recurrent, "LSTM", 24, 40, every=True, vocabulary=40),
        data.progressions,
        foretell,
        "adam",
        1e-2,
        3.0,
        1e-7,
    ),
    "gru": (partial(Recurrent, "GRU", 1, 3), data.waves, classify, "adam", 1e-2, 2.0, 1e-7),
    "cnn": (partial(cnn, norm=False, act=nn.GELU), grey, classify, "sgd", 0.05, 10.0, 1e-7),
    "rescnn": (partial(ResCnn, 10), partial(grey, classes=10), classify, "sgd", 0.02, 20.0, 1e-7),
    "coder": (partial(Coder, act=nn.GELU), data.digits, rebuild, "adam", 3e-3, 1.0, 1e-8),
    "unet": (UNet, data.discs, segment, "sgd", 0.1, 1e3, 1e-7),
    "regress": (partial(mlp, 8, 1, act=nn.SiLU), data.teacher, regress, "adam", 5e-3, 3.0, 1e-8),
}


def rated(seed: int, ill: bool, task: str, small: bool) -> Training:
    """A rate of orders of magnitude too much or too little."""
    net, make, loss, optimizer, good, large, little = RATES[task]
    return training(net(), make(seed), loss, optimizer, (little if small else large) if ill else good)


def tiny_batch(seed: int, ill: bool, kind: str) -> Training:
    """Batch normalisation over two samples. Cured: the same samples, more at a time (or a norm without a batch)."""
    norm = partial(nn.BatchNorm1d)
    if kind == "mlp-group":
        return training(
            mlp(64, 10, 48, 3, norm=norm if ill else nn.LayerNorm),
            data.digits(seed, 2),
            classify,
            "adam",
            1e-3,
            _error(data.digits(seed, 256), True),
        )
    size = 2 if ill else 32
    net, batches = {
        "mlp": lambda: (mlp(64, 10, 64, 2, norm=norm), data.digits(seed, size)),
        "mlp-deep": lambda: (mlp(64, 10, 48, 6, norm=norm), data.digits(seed, size)),
        "table": lambda: (mlp(12, 2, 32, 2, norm=norm), data.table(seed, size)),
        "cnn-head": lambda: (
            nn.Sequential(*cnn()[:-1], nn.Linear(128, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
            grey(seed, size=size),
        ),
        "cnn-pooled": lambda: (Pooled(), grey(seed, size=size)),
    }[kind]()
    held = (
        data.table(seed, 256) if kind == "table" else grey(seed, size=256) if "cnn" in kind else data.digits(seed, 256)
    )
    return training(net, batches, classify, "adam", 3e-3, _error(held, True))


class Pooled(nn.Module):
    """Norms over a batch whose pictures have been pooled to one number per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Conv2d(24, 24, 1), nn.BatchNorm2d(24), nn.ReLU(),
                                  nn.Conv2d(24, 24, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def _error(batches: Batches, evaluate: bool) -> Callable[[nn.Module], float]:
    held = next(iter(batches))

    def score(net: nn.Module) -> float:
        with torch.no_grad():
            return float((net(held[0]).argmax(1) != held[1]).float().mean())

    return score


def linear(seed: int, ill: bool) -> Training:
    """Least squares: the steepest direction turns round at each step and hardly falls."""
    x, _ = data.teacher(seed, inputs=16).tensors
    x[:, 0] *= 4
    target = x @ torch.randn(16, 1, generator=data.generator(seed)) + 2 * x[:, :1]
    model = nn.Sequential(nn.Linear(16, 1))
    curvature = float(2 * torch.linalg.eigvalsh(x.T @ x / len(x))[-1])
    return Training(
        model,
        Batches((x, target), 1024, seed),
        torch.optim.SGD(model.parameters(), (1.9995 if ill else 0.8) / curvature),
        regress,
    )


def swings(seed: int, ill: bool, kind: str) -> Training:
    """The loss goes up and down for ever: a rate at the edge of stability, or far too much momentum."""
    if kind == "alternating":  # two halves of the data that contradict each other, one after the other
        x, y = data.teacher(seed).tensors
        flip = torch.ones(len(x), 1)
        batches = Batches((x, y * flip), 64, seed)
        model = mlp(8, 1, act=nn.Tanh)
        return Training(
            model,
            batches,
            torch.optim.SGD(model.parameters(), 0.12 if ill else 0.05, momentum=0.95 if ill else 0.9),
            regress,
        )
    if kind == "linear":
        return linear(seed, ill)
    if kind == "momentum":
        model = mlp(12, 2, 32, 2, nn.Tanh)
        return Training(
            model, data.table(seed), torch.optim.SGD(model.parameters(), 2.0 if ill else 0.1, momentum=0.9), classify
        )
    if kind == "adam":
        model = mlp(8, 1, 64, 2, nn.Tanh)
        return Training(
            model,
            data.teacher(seed),
            torch.optim.Adam(model.parameters(), 0.3 if ill else 5e-3, betas=(0.0 if ill else 0.9, 0.9)),
            regress,
        )
    if kind in ("coder", "recurrent"):
        rows = nn.Sequential(nn.Unflatten(1, (8, 8)), Recurrent("RNN", 8, 10))
        model, loss = (Coder(act=nn.Tanh), rebuild) if kind == "coder" else (rows, classify)
        rate = (2.0 if ill else 0.2) if kind == "coder" else (0.7 if ill else 0.05)
        return Training(model, data.digits(seed), torch.optim.SGD(model.parameters(), rate, momentum=0.9), loss)
    net = mlp(64, 10, 64, 2, nn.Tanh) if kind == "classes" else cnn(norm=False, act=nn.Tanh)
    batches = data.digits(seed) if kind == "classes" else grey(seed)
    return Training(
        net, batches, torch.optim.SGD(net.parameters(), (1.35 if kind == "classes" else 3.0) if ill else 0.1), classify
    )


blown = {"mlp-tanh": "saturated-units", "coder": "", "regress": "", "cnn": "dead-units signal-collapse", "transformer": "signal-collapse dead-units", "transformer-post": "signal-collapse dead-units",
         "lstm": "saturated-units", "gru": "saturated-units", "rescnn": "dead-units", "unet": "dead-units"}  # fmt: skip
CASES: list[Case] = [
    *[ill(kind, "unscaled-inputs", family, inputs, 60, kind=kind) for kind, family in (
        ("table", "dense"), ("table-tanh", "dense"), ("one-column", "dense"), ("timestamps", "regression"), ("pixels-255", "convolutional"), ("sensor", "recurrent"), ("offset", "dense"))],
    *[ill(kind, "unscaled-targets", family, targets, 100, kind=kind) for kind, family in (
        ("prices", "regression"), ("large", "regression"), ("shifted", "regression"), ("tiny", "regression"), ("rnn", "recurrent"), ("deep", "residual"), ("coordinates", "regression"), ("incomes", "regression"))],
    *[ill(task, "step-too-large", "several", rated, 60, f"oscillation {blown[task]}", task=task, small=False) for task in RATES],
    *[ill(task, "step-too-small", "several", rated, 60, task=task, small=True) for task in RATES],
    *[ill(kind, "batchnorm-tiny-batch", family, tiny_batch, 60, kind=kind) for kind, family in (
        ("mlp", "dense"), ("mlp-deep", "dense"), ("mlp-group", "dense"), ("table", "dense"), ("cnn-head", "convolutional"), ("cnn-pooled", "convolutional"))],
    *[ill(kind, "oscillation", family, swings, 80, "step-too-large", kind=kind) for kind, family in (
        ("alternating", "regression"), ("linear", "regression"), ("momentum", "dense"), ("adam", "regression"), ("classes", "dense"), ("cnn", "convolutional"), ("coder", "autoencoders"), ("recurrent", "recurrent"))],
]  # fmt: skip
