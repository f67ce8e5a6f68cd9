"""Ill at the end: a loss that does not fit the head, an output that is saturated."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, ill, training
from benchmarks.doctor.losses import error_rate, regress
from benchmarks.doctor.nets import Attends, Recurrent, ResCnn, UNet, cnn, mlp

grey = partial(data.pictures, side=8, channels=1, size=32)
TASKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any], str, float]] = {
    "mlp": (partial(mlp, 64, 10), data.digits, "sgd", 0.05),
    "cnn": (partial(cnn, norm=False), grey, "sgd", 0.05),
    "rescnn": (partial(ResCnn, 10), partial(grey, classes=10), "sgd", 0.01),
    "attends": (partial(Attends, 30, 2), data.tokens, "adam", 1e-3),
}


def head(seed: int, ill: bool, task: str, fault: str) -> Training:
    """Classification with something between the logits and a loss that wants logits."""
    net, make, optimizer, rate = TASKS[task]
    batches = make(seed)
    model = net()
    if ill and fault in ("softmax", "sigmoid", "relu"):
        model = nn.Sequential(model, {"softmax": nn.Softmax(dim=1), "sigmoid": nn.Sigmoid(), "relu": Below()}[fault])

    def loss(network: nn.Module, batch: Any) -> Tensor:
        logits = network(*batch[:-1])
        if not ill or fault in ("softmax", "sigmoid", "relu"):
            return F.cross_entropy(logits, batch[-1])
        if fault == "probabilities-nll":
            return F.nll_loss(logits.softmax(1), batch[-1])
        if fault == "softmax-of-batch":
            return F.nll_loss(logits.log_softmax(0), batch[-1])
        return F.nll_loss(logits, batch[-1])  # "logits-nll": no log_softmax at all

    return training(model, batches, loss, optimizer, rate, error_rate(next(iter(make(seed + 1)))))


class Below(nn.Module):
    """A ReLU after logits that start below zero: no class can be told from another."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x - 2.0)


def chars(seed: int, ill: bool, kind: str) -> Training:
    """The next character, with a softmax of its own before the cross entropy, or probabilities into the NLL."""
    model = Recurrent(kind, 24, 40, 32, every=True, vocabulary=40)

    def logits(network: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        return network(batch[0][:, :-1]).flatten(0, 1), batch[0][:, 1:].flatten()

    def loss(network: nn.Module, batch: Any) -> Tensor:
        out, wanted = logits(network, batch)
        if ill and kind == "LSTM":
            return F.nll_loss(out.softmax(1), wanted)
        return F.cross_entropy(out.softmax(1) if ill else out, wanted)

    def score(network: nn.Module) -> float:
        out, wanted = logits(network, next(iter(data.progressions(seed))))
        return float((out.argmax(1) != wanted).float().mean())

    return training(model, data.progressions(seed), loss, "adam", 1e-2, score)


def binary(seed: int, ill: bool, fault: str) -> Training:
    """Two classes by one logit."""
    model: nn.Module = mlp(12, 1, 32, 2)
    if fault == "cnn":
        model = cnn(1, norm=False)
    batches = grey(seed, classes=2) if fault == "cnn" else data.table(seed)
    score_batch = next(iter(grey(seed + 1, classes=2) if fault == "cnn" else data.table(seed + 0)))

    def loss(network: nn.Module, batch: Any) -> Tensor:
        out, wanted = network(batch[0]), batch[1].float()[:, None]
        if not ill:
            return F.binary_cross_entropy_with_logits(out, wanted)
        if fault in ("sigmoid-twice", "cnn"):
            return F.binary_cross_entropy_with_logits(out.sigmoid(), wanted)
        if fault == "targets-minus-one":
            return F.binary_cross_entropy_with_logits(out, 2 * wanted - 1)
        if fault == "targets-255":
            return F.binary_cross_entropy_with_logits(out, 255 * wanted)
        if fault == "softmax-of-one":
            return F.mse_loss(out.softmax(1), wanted)
        return F.cross_entropy(out, 0 * batch[1])  # "one-logit": a cross entropy over a single class

    def score(network: nn.Module) -> float:
        with torch.no_grad():
            out = network(score_batch[0])[:, 0]
        if ill and fault in ("sigmoid-twice", "cnn"):
            return float(F.binary_cross_entropy_with_logits(out.sigmoid(), score_batch[1].float()))
        return float(((out > 0) != score_batch[1].bool()).float().mean()) if ill else 0.05

    return training(model, batches, loss, "adam", 5e-3, score)


def broadcast(seed: int, ill: bool, kind: str) -> Training:
    """Predictions (B, 1) against targets (B,): every prediction is compared with every target."""
    model: nn.Module = {
        "mlp": lambda: mlp(8, 1, act=nn.Tanh),
        "l1": lambda: mlp(8, 1),
        "gru": lambda: Recurrent("GRU", 2, 1),
        "huber": lambda: mlp(8, 1, 32, 2),
    }[kind]()
    batches = data.adding(seed, length=8) if kind == "gru" else data.teacher(seed)
    distance = {"l1": F.l1_loss, "huber": F.smooth_l1_loss}.get(kind, F.mse_loss)
    held = next(iter(batches))

    def loss(network: nn.Module, batch: Any) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return distance(network(batch[0]), batch[1][:, 0] if ill else batch[1])

    def score(network: nn.Module) -> float:
        with torch.no_grad():
            return float((network(held[0]) - held[1]).square().mean() / held[1].var())

    return training(model, batches, loss, "adam", 1e-2 if kind == "gru" else 5e-3, score)


def last_layer(model: nn.Module) -> Any:
    """Return the last linear or convolutional layer."""
    return [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]


def saturated(seed: int, ill: bool, kind: str) -> Training:
    """An output that is flat where the network starts, under a loss that does not undo it."""
    if kind in ("sigmoid-mse", "sigmoid-bce", "scaled-sigmoid"):
        model: nn.Module = nn.Sequential(mlp(12, 1, 32, 2), nn.Sigmoid())
        layer = last_layer(model)
        with torch.no_grad():
            if ill and kind == "scaled-sigmoid":
                layer.weight.mul_(2000.0)
            elif ill:
                layer.bias.fill_(-25.0 if kind == "sigmoid-mse" else 120.0)

        def loss(network: nn.Module, batch: Any) -> Tensor:
            distance = F.binary_cross_entropy if kind == "sigmoid-bce" else F.mse_loss
            return distance(network(batch[0]), batch[1].float()[:, None])

        return training(model, data.table(seed), loss, "adam", 5e-3)
    if kind == "tanh-mse":
        model = nn.Sequential(mlp(8, 1, 32, 2), nn.Tanh())
        if ill:
            nn.init.constant_(last_layer(model).bias, 12.0)
        return training(model, data.teacher(seed, scale=0.5), regress, "adam", 5e-3)
    if kind == "softmax-mse":
        model = nn.Sequential(mlp(64, 10, 64, 2), nn.Softmax(dim=1))
        if ill:
            with torch.no_grad():
                last_layer(model).weight.mul_(3000.0)

        def squared(network: nn.Module, batch: Any) -> Tensor:
            return F.mse_loss(network(batch[0]), F.one_hot(batch[1], 10).float())

        return training(model, data.digits(seed), squared, "adam", 5e-3)
    net = UNet()  # "unet": a sigmoid with squared error on masks
    if ill:
        nn.init.constant_(net.head.bias, -30.0)

    def masks(network: nn.Module, batch: Any) -> Tensor:
        return F.mse_loss(network(batch[0]).sigmoid(), batch[1])

    return training(net, data.discs(seed), masks, "adam", 1e-2)


def outside(seed: int, ill: bool) -> Training:
    """A tanh output for targets around 8: it sits at 1 and cannot reach them. Cured: no tanh."""
    body = mlp(8, 1, 32, 2)
    return training(
        nn.Sequential(body, nn.Tanh()) if ill else body, data.teacher(seed, scale=2.0, shift=8.0), regress, "adam", 0.02
    )


CASES: list[Case] = [
    *[ill(f"{fault}-{task}", "loss-head-mismatch", family, head, 60, task=task, fault=fault) for fault, task, family in (
        ("softmax", "mlp", "dense"), ("softmax", "cnn", "convolutional"), ("softmax", "rescnn", "residual"),
        ("sigmoid", "mlp", "dense"), ("probabilities-nll", "mlp", "dense"), ("logits-nll", "mlp", "dense"),
        ("softmax-of-batch", "mlp", "dense"))],
    ill("softmax-chars", "loss-head-mismatch", "recurrent", chars, 60, kind="GRU"),
    ill("probabilities-nll-chars", "loss-head-mismatch", "recurrent", chars, 60, kind="LSTM"),
    *[ill(fault, "loss-head-mismatch", family, binary, 60, fault=fault) for fault, family in (
        ("sigmoid-twice", "dense"), ("cnn", "convolutional"), ("targets-minus-one", "dense"), ("targets-255", "dense"), ("softmax-of-one", "dense"), ("one-logit", "dense"))],
    *[ill(f"broadcast-{kind}", "loss-head-mismatch", family, broadcast, 100, kind=kind) for kind, family in (
        ("mlp", "regression"), ("l1", "regression"), ("gru", "recurrent"), ("huber", "regression"))],
    *[ill(kind, "saturated-output", family, saturated, 60, also, kind=kind) for kind, family, also in (
        ("sigmoid-mse", "dense", ""), ("sigmoid-bce", "dense", ""), ("scaled-sigmoid", "dense", ""), ("tanh-mse", "regression", ""),
        ("softmax-mse", "dense", ""), ("unet", "u-nets", ""))],
    ill("tanh-outside", "saturated-output", "regression", outside, 60, "unscaled-targets loss-head-mismatch"),
]  # fmt: skip
