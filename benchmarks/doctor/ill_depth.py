"""Ill in depth: the gradient vanishes or explodes with depth, units are dead or saturated, the signal collapses."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, ill, training
from benchmarks.doctor.losses import classify, rebuild, regress, segment
from benchmarks.doctor.nets import Attends, Coder, Graph, Recurrent, ResCnn, UNet, cnn, he, mlp, resmlp

grey = partial(data.pictures, side=8, channels=1, size=32)


def weights(model: nn.Module, std: float | None = None, times: float = 1.0, bias: float | None = None) -> nn.Module:
    """Change the weights of every linear and convolutional layer but the last: a fixed std, a factor, a bias."""
    layers = [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for layer in layers[:-1]:
            if std is not None:
                layer.weight.normal_(0, std)
            layer.weight.mul_(times)
            if bias is not None and layer.bias is not None:
                layer.bias.fill_(bias)
    return model


def deep(
    seed: int,
    ill: bool,
    act: Any,
    gain: float | None,
    depth: int,
    good: Any,
    good_gain: float,
    rate: float,
    width: int = 64,
) -> Training:
    """A deep dense net whose activation and gain shrink or blow up what flows; cured by those that keep it."""
    model: nn.Module = mlp(64, 10, width, depth, act if ill else good)
    if not ill:
        he(model, good_gain)
    elif gain is not None:
        he(model, gain)
    return training(model, data.digits(seed), classify, "sgd", rate)


def deep_cnn(seed: int, ill: bool, act: Any, std: float | None, depth: int, rate: float = 0.02) -> Training:
    """Convolutions without norm."""
    model: nn.Module = cnn(width=12, depth=depth, norm=False, act=act if ill else nn.ReLU)
    if not ill:
        he(model)
    elif std is not None:
        weights(model, std, bias=0.0)
    return training(model, grey(seed), classify, "sgd", rate)


def deep_coder(seed: int, ill: bool, rate: float, explode: bool = False) -> Training:
    """An autoencoder of ten layers: sigmoids (vanishing) or weights from N(0, 1) (exploding)."""
    model = nn.Sequential(
        mlp(64, 16, 48, 4, nn.Tanh if explode or not ill else nn.Sigmoid),
        mlp(16, 64, 48, 4, nn.Tanh if explode or not ill else nn.Sigmoid),
    )
    he(model, 1.0)
    if ill and explode:
        weights(model, 1.0)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        return (net(batch[0]) - batch[0]).square().mean()

    return training(model, data.digits(seed), loss, "sgd", rate)


def deep_regression(seed: int, ill: bool, explode: bool) -> Training:
    """A regression: sigmoids, or a deep linear net with too large a gain."""
    if explode:
        return training(he(mlp(8, 1, 48, 14), 2.6 if ill else 2**0.5), data.teacher(seed), regress, "sgd", 1e-3)
    model: nn.Module = mlp(8, 1, 64, 5, nn.Sigmoid if ill else nn.Tanh)
    return training(model if ill else he(model, 1.0), data.teacher(seed), regress, "sgd", 0.02)


def stream(seed: int, ill: bool) -> Training:
    """A residual stream without norm whose branches are as large as itself: it doubles at each of 24 blocks."""
    model = resmlp(64, 10, depth=24, norm=False)
    model[-2] = nn.Identity()
    he(model, 1.9 if ill else 0.3)
    return training(model, data.digits(seed), classify, "sgd", 0.02)


def deep_graph(seed: int, ill: bool) -> Training:
    """Graph convolutions with tiny weights, as an old `normal_(0, 0.01)` makes them."""
    model = Graph(depth=4)
    return training(weights(model, 0.02, bias=0.0) if ill else he(model, 1.8), data.graphs(seed), classify, "sgd", 0.05)


def dead(seed: int, ill: bool, kind: str) -> Training:
    """ReLUs that no sample switches on, by a bias far below zero; or a rate that throws them there."""
    if kind == "rate":
        return training(mlp(64, 10, 64, 3), data.digits(seed), classify, "adam", 0.3 if ill else 3e-3)
    if kind == "rate-adam":
        return training(he(mlp(8, 1, 64, 3)), data.teacher(seed), regress, "adam", 0.5 if ill else 5e-3)
    if kind == "mlp":
        return training(
            weights(mlp(64, 10), bias=-6.0) if ill else mlp(64, 10), data.digits(seed), classify, "sgd", 0.05
        )
    if kind == "cnn":
        model = cnn(norm=False, depth=3)
        return training(weights(model, bias=-8.0) if ill else model, grey(seed), classify, "adam", 3e-3)
    if kind == "middle":
        model = he(mlp(64, 10, 48, 4))
        if ill:
            nn.init.constant_(model[4].bias, -20.0)
        return training(model, data.digits(seed), classify, "sgd", 0.02)
    if kind == "autoencoder":
        model = Coder()
        return training(weights(model, bias=-9.0) if ill else model, data.digits(seed), rebuild, "adam", 3e-3)
    if kind == "unet":
        net = UNet(norm=False)
        if ill:
            for block in (net.one, net.two, net.three, net.up_two, net.up_one):
                nn.init.constant_(block[0].bias, -7.0)
        return training(net, data.discs(seed), segment, "adam", 3e-3)
    model = mlp(64, 10, 64, 2)  # "positive": inputs from 0 up, and first weights all below zero
    x, y = data._digits()
    if ill:
        with torch.no_grad():
            model[0].weight.abs_().neg_()
            model[0].bias.abs_().neg_()
    return training(model, data.Batches((x, y), 64, seed), classify, "sgd", 0.1)


def saturated(seed: int, ill: bool, kind: str) -> Training:
    """Units far out where their function is flat."""
    if kind == "lstm":
        model = Recurrent("LSTM", 8, 10, 32)
        if ill:
            with torch.no_grad():
                model.core.bias_ih_l0.fill_(-12.0)
        return training(nn.Sequential(nn.Unflatten(1, (8, 8)), model), data.digits(seed), classify, "adam", 3e-3)
    if kind == "cnn":
        cnn_ = cnn(norm=False, act=nn.Tanh, depth=3)
        return training(weights(cnn_, bias=8.0) if ill else cnn_, grey(seed), classify, "sgd", 0.02)
    if kind == "coder":
        coder = Coder(act=nn.Tanh)
        return training(weights(coder, times=40.0) if ill else coder, data.digits(seed), rebuild, "adam", 3e-3)
    act = {"tanh": nn.Tanh, "relu6": nn.ReLU6, "hardtanh": nn.Hardtanh, "bias": nn.Sigmoid, "regress": nn.Tanh}[kind]
    inputs, outputs, task, loss = (
        (8, 1, data.teacher, regress) if kind == "regress" else (64, 10, data.digits, classify)
    )
    net: nn.Module = mlp(inputs, outputs, 64, 2 if kind in ("tanh", "bias") else 3, act)
    if ill:
        net = weights(net, bias=20.0) if kind in ("bias", "relu6") else weights(net, std=6.0)
    return training(net, task(seed), loss, "adam", 6e-3)  # type: ignore[arg-type]


class MeanOfBatch(nn.Module):
    """Averages over the batch where it should over positions, so that all samples are the same."""

    def __init__(self, body: nn.Module, classes: int, width: int, wrong: bool) -> None:
        super().__init__()
        self.body, self.head, self.wrong = body, nn.Linear(width, classes), wrong

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        h = h.flatten(2).mean(2) if h.dim() > 2 else h
        return self.head(h.mean(0, keepdim=True).expand_as(h) if self.wrong else h)


class Drowned(nn.Module):
    """Positions so large beside the embedding that after the norm every sentence is the same."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.inner = Attends(30, 2)
        with torch.no_grad():
            self.inner.embed.weight.mul_(share)
            self.inner.place.copy_(torch.randn_like(self.inner.place))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def collapsed(seed: int, ill: bool, kind: str) -> Training:
    """Every input becomes one and the same representation."""
    if kind == "group-norm-of-one":
        net = mlp(64, 10, 48, 2)
        norm = nn.GroupNorm(48 if ill else 4, 48)
        return training(nn.Sequential(*net[:3], norm, *net[3:]), data.digits(seed), classify, "adam", 3e-3)
    if kind == "cnn-norm-of-one":
        body = nn.Sequential(*cnn(width=16)[:-3], nn.AdaptiveAvgPool2d(1), nn.GroupNorm(16 if ill else 1, 16))
        return training(nn.Sequential(body, nn.Flatten(), nn.Linear(16, 4)), grey(seed), classify, "adam", 1e-2)
    if kind == "batch-mean-cnn":
        return training(MeanOfBatch(cnn(width=16)[:-3], 4, 16, ill), grey(seed), classify, "adam", 1e-2)
    if kind == "batch-mean-mlp":
        return training(MeanOfBatch(mlp(64, 48, 48, 2), 10, 48, ill), data.digits(seed), classify, "adam", 3e-3)
    if kind == "drowned":
        return training(Drowned(1e-5 if ill else 1.0), data.tokens(seed), classify, "sgd", 0.05)
    model = he(
        mlp(64, 10, 64, 6 if kind == "tiny-weights" else 30, nn.Tanh if kind == "tiny-weights" else nn.ReLU),
        1.0 if kind == "tiny-weights" else 2**0.5,
    )
    if ill:
        with torch.no_grad():
            for layer in list(model)[:-1:2]:
                layer.weight.mul_(0.02 if kind == "tiny-weights" else 0.7)
                layer.bias.normal_(0, 1.0)
    return training(model, data.digits(seed), classify, "sgd", 0.02 if kind == "tiny-weights" else 2e-3)


def constant(seed: int, ill: bool, kind: str) -> Training:
    """All weights of a layer alike, so that its units stay copies of one another."""
    net, batches, loss, rate = {
        "mlp": lambda: (mlp(64, 10), data.digits(seed), classify, 3e-3),
        "zeros": lambda: (mlp(64, 10, 64, 2), data.digits(seed), classify, 3e-3),
        "ones-tanh": lambda: (mlp(64, 10, 64, 2, nn.Tanh), data.digits(seed), classify, 3e-3),
        "rescnn": lambda: (ResCnn(), grey(seed), classify, 5e-3),
        "regress": lambda: (mlp(8, 1, act=nn.Tanh), data.teacher(seed), regress, 5e-3),
        "lstm": lambda: (Recurrent("LSTM", 1, 3), data.waves(seed), classify, 1e-2),
        "coder": lambda: (Coder(), data.digits(seed), rebuild, 3e-3),
    }[kind]()
    value = {"zeros": 0.0, "ones-tanh": 0.05, "regress": 0.1, "lstm": 0.1}.get(kind, 0.02)
    if ill:
        for parameter in net.parameters():
            nn.init.constant_(parameter, value if parameter.dim() > 1 else 0.0)
        if kind == "rescnn":
            for layer in net.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    nn.init.ones_(layer.weight)
    return training(net, batches, loss, "adam", rate)


both = "signal-collapse"
CASES: list[Case] = [
    ill("mlp-sigmoid-6", "vanishing-depth", "dense", deep, 80, both, act=nn.Sigmoid, gain=None, depth=6, good=nn.ReLU, good_gain=2**0.5, rate=0.03),
    ill("mlp-tanh-small-gain", "vanishing-depth", "dense", deep, 60, both, act=nn.Tanh, gain=0.4, depth=12, good=nn.Tanh, good_gain=1.1, rate=0.02),
    ill("mlp-relu-default-16", "vanishing-depth", "dense", deep, 60, both, act=nn.ReLU, gain=None, depth=16, good=nn.ReLU, good_gain=2**0.5, rate=0.01),
    ill("mlp-softsign-20", "vanishing-depth", "dense", deep, 60, both, act=nn.Softsign, gain=0.5, depth=12, good=nn.Tanh, good_gain=1.1, rate=0.02),
    ill("cnn-sigmoid-6", "vanishing-depth", "convolutional", deep_cnn, 80, both, act=nn.Sigmoid, std=None, depth=6),
    ill("cnn-std-001", "vanishing-depth", "convolutional", deep_cnn, 80, both, act=nn.ReLU, std=0.01, depth=6),
    ill("coder-sigmoid", "vanishing-depth", "autoencoders", deep_coder, 80, both, rate=0.3),
    ill("regress-sigmoid-5", "vanishing-depth", "regression", deep_regression, 80, both, explode=False),
    ill("graph-tiny", "vanishing-depth", "graph nets", deep_graph, 80, both),
    ill("mlp-relu-12", "exploding-depth", "dense", deep, 60, "overflow-forward", act=nn.ReLU, gain=3.5, depth=12, good=nn.ReLU, good_gain=2**0.5, rate=0.01),
    ill("mlp-tanh-chaos", "exploding-depth", "dense", deep, 60, "saturated-units", act=nn.Tanh, gain=4.0, depth=15, good=nn.Tanh, good_gain=1.1, rate=0.01),
    ill("mlp-leaky-20", "exploding-depth", "dense", deep, 60, "overflow-forward", act=partial(nn.LeakyReLU, 0.2), gain=2.6, depth=20, good=nn.ReLU, good_gain=2**0.5, rate=5e-3, width=48),
    ill("cnn-std-half", "exploding-depth", "convolutional", deep_cnn, 100, "overflow-forward", act=nn.ReLU, std=0.5, depth=8, rate=0.02),
    ill("coder-normal-01", "exploding-depth", "autoencoders", deep_coder, 60, "saturated-units", rate=0.3, explode=True),
    ill("regress-relu-14", "exploding-depth", "regression", deep_regression, 60, "overflow-forward", explode=True),
    ill("stream-24", "exploding-depth", "residual", stream, 40, "overflow-forward"),
    *[ill(kind, "dead-units", family, dead, 60, also, kind=kind) for kind, family, also in (
        ("rate", "dense", "step-too-large"), ("rate-adam", "regression", "step-too-large"), ("mlp", "dense", ""), ("cnn", "convolutional", ""),
        ("middle", "dense", ""), ("autoencoder", "autoencoders", ""), ("unet", "u-nets", ""), ("positive", "dense", ""))],
    *[ill(kind, "saturated-units", family, saturated, 60, also, kind=kind) for kind, family, also in (
        ("lstm", "recurrent", ""), ("cnn", "convolutional", ""), ("coder", "autoencoders", ""), ("tanh", "dense", ""), ("relu6", "dense", "dead-units signal-collapse"),
        ("hardtanh", "dense", "dead-units"), ("bias", "dense", "signal-collapse"), ("regress", "regression", ""))],
    *[ill(kind, "signal-collapse", family, collapsed, 60, also, kind=kind) for kind, family, also in (
        ("group-norm-of-one", "dense", ""), ("cnn-norm-of-one", "convolutional", ""), ("batch-mean-cnn", "convolutional", ""), ("batch-mean-mlp", "dense", ""),
        ("drowned", "own transformers", ""), ("tiny-weights", "dense", "vanishing-depth"), ("biased-30", "dense", "vanishing-depth"))],
    *[ill(kind, "symmetric-initialisation", family, constant, 60, also, kind=kind) for kind, family, also in (
        ("mlp", "dense", ""), ("zeros", "dense", "stuck-at-zero dead-units"), ("ones-tanh", "dense", ""),
        ("rescnn", "residual", ""), ("regress", "regression", ""), ("lstm", "recurrent", ""), ("coder", "autoencoders", ""))],
]  # fmt: skip
