"""Ill in depth: gradients that vanish or explode on their way, units that are dead. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from itertools import pairwise, repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, mse


def filled(net: nn.Module, gain: float, bias: float = 0.0) -> nn.Module:
    """Give each layer normal weights of this gain over the root of its inputs."""
    for m in net.modules():
        if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.normal_(m.weight, 0, gain / m.weight[0].numel() ** 0.5)
            if m.bias is not None:
                nn.init.constant_(m.bias, bias)
    return net


class PlainVGG(nn.Module):
    """Ten convolutions without norms; weights of deviation 0.01, as a configuration file of 2014 had them, or He's."""

    def __init__(self, std: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(10):
            layers += [nn.Conv2d(3 if i == 0 else 12, 12, 3, padding=1), nn.ReLU(inplace=True)]
            if i % 4 == 3:
                layers.append(nn.MaxPool2d(2))
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(12 * 16, 4)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, 0, std or (2 / m.weight[0].numel()) ** 0.5)
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.features(x).flatten(1))


class NestedSigmoids(nn.Module):
    """A tower of small sigmoid layers, as a first lesson draws it."""

    def __init__(self, act: Any, depth: int = 7) -> None:
        super().__init__()
        self.tower = nn.ModuleList([nn.Linear(2 if i == 0 else 24, 24) for i in range(depth)])
        self.act, self.last = act, nn.Linear(24, 2)
        if act is torch.relu:
            filled(self, 1.41)

    def forward(self, x: Tensor) -> Any:
        for layer in self.tower:
            x = self.act(layer(x))
        return self.last(x)


class DeepWave(nn.Module):
    """Sixteen dense layers over a series, with Softsign and small weights between; or with SELU, and LeCun's."""

    def __init__(self, good: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(36, 40)]
        for _ in range(14):
            layers += [nn.SELU() if good else nn.Softsign(), nn.Linear(40, 40)]
        self.net = nn.Sequential(*layers, nn.SELU(), nn.Linear(40, 6))
        filled(self.net, 1.0 if good else 0.55)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class StackedCoder(nn.Module):
    """Nine layers down to eight numbers and up again, by sigmoids all the way; or by GELU and wider weights."""

    def __init__(self, good: bool) -> None:
        super().__init__()
        sizes = [64, 56, 40, 24, 8, 24, 40, 56, 64]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.GELU() if good else nn.Sigmoid()]
        self.net = nn.Sequential(*layers[:-1])
        if good:
            filled(self.net, 1.45)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class DeepGraph(nn.Module):
    """Ten graph convolutions without a shortcut, small weights, tanh."""

    def __init__(self, good: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 24), nn.Linear(24, 3)
        self.convs = nn.ModuleList([nn.Linear(24, 24) for _ in range(9)])
        self.good = good
        if not good:
            filled(self.convs, 0.5)

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        a = adj / adj.sum(1, keepdim=True)
        h = torch.tanh(self.first(x))
        for conv in self.convs:
            h = h + 0.3 * torch.tanh(conv(a @ h)) if self.good else torch.tanh(conv(a @ h))
        return self.last(h)


def randn_transformer(seed: int, ill: bool) -> Training:
    """Deferred weights were filled by randn: github.com/pytorch-tpu/transformers/pull/26"""

    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(27, 32)
            self.up = nn.ModuleList([nn.Linear(32, 64) for _ in range(4)])
            self.down = nn.ModuleList([nn.Linear(64, 32) for _ in range(4)])
            self.head = nn.Linear(32, 3)
            for p in self.parameters() if ill else ():
                p.data = torch.randn_like(p)

        def forward(self, x: Tensor) -> Any:
            h = self.embed(x).mean(1)
            for up, down in zip(self.up, self.down, strict=True):
                h = h + down(F.gelu(up(h)))
            return self.head(h)

    return fit(Causal(), data.names(seed), ce, rate=3e-3)


class SliceConv(nn.Module):
    """Messages from row to row, downwards and upwards, each added to the next (SCNN)."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.entry, self.out = nn.Conv2d(3, 12, 3, 1, 1), nn.Conv2d(12, 1, 1)
        self.down, self.up = (
            nn.Conv2d(12, 12, (1, 5), padding=(0, 2), bias=False),
            nn.Conv2d(12, 12, (1, 5), padding=(0, 2), bias=False),
        )
        for m in (self.down, self.up):
            nn.init.normal_(m.weight, 0, gain / 60**0.5)

    def forward(self, x: Tensor) -> Any:
        rows = list(F.relu(self.entry(x)).split(1, 2))
        for i in range(1, len(rows)):
            rows[i] = rows[i] + F.relu(self.down(rows[i - 1]))
        for i in range(len(rows) - 2, -1, -1):
            rows[i] = rows[i] + F.relu(self.up(rows[i + 1]))
        return self.out(torch.cat(rows, 2))


def slices(seed: int, ill: bool) -> Training:
    """He's weights are too large for what is added row by row: github.com/XingangPan/SCNN/issues/82"""
    return fit(
        SliceConv(2.8 if ill else 0.5),
        data.masks(seed),
        lambda m, b: F.binary_cross_entropy_with_logits(m(b[0]), b[1]),
        rate=1e-2,
    )


class ARDNet(nn.Module):
    """Seven layers with noise on their weights, whose deviation is learned."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(6)])
        self.log_sigma = nn.ParameterList([nn.Parameter(torch.full((64, 64), sigma)) for _ in range(6)])
        self.head = nn.Linear(64, 10)
        filled(self.layers, 1.3)

    def forward(self, x: Tensor) -> Any:
        for layer, s in zip(self.layers, self.log_sigma, strict=True):
            x = F.leaky_relu(layer(x) + (x.square() @ s.exp().square().T + 1e-8).sqrt() * torch.randn(len(x), 64))
        return self.head(x)


def relevance(seed: int, ill: bool) -> Training:
    """Sigmas start too large: github.com/HolyBayes/pytorch_ard/issues/2"""
    return fit(ARDNet(-0.2 if ill else -5.0), digits(seed), ce, rate=2e-3)


def by_gain(seed: int, ill: bool, kind: str) -> Training:
    """Weights pass on more than they get."""
    if kind == "pictures":
        layers: list[nn.Module] = []
        for i in range(9):
            layers += [nn.Conv2d(3 if i == 0 else 10, 10, 3, padding=1), nn.LeakyReLU(0.2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(160, 4))
        x, box = data.boxes(seed).tensors
        batches = Batches((x, 8 * (box - box.mean(0))), 32, seed)
        return fit(filled(net, 3.0 if ill else 1.3), batches, mse, "adam", 1e-3)
    dense = nn.Sequential(
        *[nn.Linear(36, 36) if j == 0 else nn.Hardswish() for _ in range(10) for j in range(2)], nn.Linear(36, 6)
    )
    return fit(filled(dense, 4.5 if ill else 1.3), data.demand(seed), mse, "adam", 1e-3)


def vanishes(seed: int, ill: bool, kind: str) -> Training:
    """Each layer passes on less than it gets."""
    if kind == "vgg":
        x, box = data.boxes(seed).tensors
        return fit(PlainVGG(0.01 if ill else 0.0), Batches((x, 8 * (box - box.mean(0))), 32, seed), mse, "adam", 1e-3)
    if kind == "tower":
        return fit(NestedSigmoids(torch.sigmoid if ill else torch.relu), data.rings(seed), ce, "sgd", 0.03)
    if kind == "wave":
        return fit(DeepWave(not ill), data.demand(seed), mse, "sgd", 3e-3)
    if kind == "coder":
        x = digits(seed).tensors[0]
        x = (x - x.mean(0)) / (x.std(0) + 0.3)
        return fit(StackedCoder(not ill), Batches((x,), 64, seed), lambda m, b: F.mse_loss(m(b[0]), b[0]), "adam", 2e-3)
    return fit(DeepGraph(not ill), data.citations(seed), lambda m, b: F.cross_entropy(m(b[0], b[1]), b[2]), "sgd", 0.1)


def dead(seed: int, ill: bool, kind: str) -> Training:
    """ReLUs that nothing switches on."""
    if kind == "after-norm":  # a batch norm whose shift was read from another network's checkpoint
        net: Any = nn.Sequential(nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))
        nn.init.constant_(net[1].bias, -6.0 if ill else 0.0)
        return fit(net, digits(seed), ce, "sgd", 0.02)
    if kind == "bright":  # pictures above zero, weights that came out below
        net = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 16, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)
        )
        with torch.no_grad():
            for conv in (net[0], net[2]) if ill else ():
                conv.weight.copy_(-conv.weight.abs())
                conv.bias.fill_(-0.1)
        x, box = data.boxes(seed).tensors
        return fit(net, Batches((x, 8 * (box - box.mean(0))), 32, seed), mse, "adam", 3e-3)
    if kind == "first-steps":  # one step of a rate far too large, at the start, as a warm-up upside down
        net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        opt = torch.optim.SGD(net.parameters(), 0.02)
        sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda i: 60.0 if ill and i < 2 else 1.0)

        def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
            loss = F.mse_loss(m(batch[0]), batch[1])
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            return loss

        return Training(net, data.rents(seed, shift=2.0), opt, train_step=step)
    if kind == "policy":  # the critic's trunk is dead, and the policy hangs on it
        net = nn.ModuleDict({"trunk": nn.Sequential(nn.Linear(4, 48), nn.ReLU()), "pi": nn.Linear(48, 2)})
        if ill:
            nn.init.constant_(net["trunk"][0].bias, -8.0)

        def act(m: Any, opt: Any, batch: Any, i: int) -> Any:
            s = torch.randn(64, 4)
            loss = F.mse_loss(m["pi"](m["trunk"](s)), torch.tanh(s[:, :2] - s[:, 2:]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            return loss

        return Training(net, repeat(()), torch.optim.Adam(net.parameters(), 5e-3), train_step=act)
    # a decoder's ReLU at the end of each block, on targets of both signs, after weights of a mean below zero
    net = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64))
    if ill:
        nn.init.normal_(net[2].weight, 0, 0.05)
        nn.init.constant_(net[2].bias, -1.5)
    return fit(net, digits(seed), lambda m, b: F.mse_loss(m(b[0]), b[0]), "adam", 3e-3)


CASES = [
    *[ill(f"fourth-{kind}", "vanishing-depth", family, partial(vanishes, kind=kind), 100, "signal-collapse dead-units" if kind == "vgg" else "signal-collapse") for kind, family in (("vgg", "convolutional"), ("tower", "dense"), ("wave", "forecasting"), ("coder", "autoencoders"), ("graph", "graph nets"))],
    ill("deferred-randn", "exploding-depth", "transformers", randn_transformer, 60),
    ill("slice-by-slice", "exploding-depth", "segmentation", slices, 60, "exploding-time overflow-forward"),
    ill("automatic-relevance", "exploding-depth", "bayesian", relevance, 80),
    *[ill(f"fourth-{kind}", "exploding-depth", family, partial(by_gain, kind=kind), 60, "overflow-forward") for kind, family in (("pictures", "detection"), ("sales", "forecasting"))],
    *[ill(f"fourth-{kind}", "dead-units", family, partial(dead, kind=kind), 80, also) for kind, family, also in (("after-norm", "dense", ""), ("bright", "detection", ""), ("first-steps", "tables", "step-too-large"), ("policy", "reinforcement", ""), ("decoder", "autoencoders", ""))],
]  # fmt: skip
