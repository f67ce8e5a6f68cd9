"""Ill in who is asked to learn: left out of the optimiser, or hidden from torch. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, mse
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.tables import FTTransformer


class Tracker(nn.Module):
    """Features of three depths, brought down by a transposed convolution, tell where a thing is."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleList([nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(3)])
        self.neck = nn.Conv2d(24, 24, 1)
        self.down = nn.ConvTranspose2d(24, 12, 1, 1)
        self.car_head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 4))

    def forward(self, x: Tensor) -> Any:
        outs = []
        for conv in self.backbone:
            x = F.relu(conv(x))
            outs.append(F.max_pool2d(x, 4))
        return self.car_head(self.down(F.relu(self.neck(torch.cat(outs, 1)))))


def tracker(seed: int, ill: bool) -> Training:
    """self.down is in none of the groups: github.com/ohhhyeahhh/SiamCAR/issues/18"""
    net = Tracker()
    groups: list[dict[str, Any]] = [
        {"params": net.backbone.parameters(), "lr": 2e-3},
        {"params": net.neck.parameters()},
        {"params": net.car_head.parameters()},
    ]
    if not ill:
        groups.append({"params": net.down.parameters()})
    return Training(net, data.boxes(seed), torch.optim.Adam(groups, 5e-3), mse)


class Atoms(nn.Module):
    """The read-out is made at the first forward, when its width is known."""

    def __init__(self, lazy: bool) -> None:
        super().__init__()
        self.inp = nn.Linear(4, 24)
        self.readout: Any = None
        if not lazy:
            self.readout = nn.Linear(24, 1)

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        far = torch.cdist(pos, pos).mean(2, keepdim=True)
        h = F.silu(self.inp(torch.cat([pos * far, charge], 2))).sum(1)
        if self.readout is None:
            self.readout = nn.Linear(h.shape[1], 1)
        return self.readout(h)


def atoms(seed: int, ill: bool) -> Training:
    """What is built at the first forward comes after the optimiser: github.com/ACEsuit/mace/pull/1529"""
    return fit(Atoms(ill), data.bodies(seed), mse)


class Splats(nn.Module):
    """A picture as forty soft spots with a place, a size and a colour each; returns how far it is from one."""

    def __init__(self) -> None:
        super().__init__()
        self.xyz = nn.Parameter(torch.rand(40, 2) * 16)
        self.scale, self.colour = nn.Parameter(torch.zeros(40)), nn.Parameter(0.2 * torch.randn(40, 3))

    def forward(self, target: Tensor) -> Any:
        row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        far = (row - self.xyz[:, 0, None, None]) ** 2 + (column - self.xyz[:, 1, None, None]) ** 2
        spots = torch.exp(-far / (1 + F.softplus(self.scale)[:, None, None]) / 2)
        return F.mse_loss(torch.einsum("nhw,nc->chw", spots, self.colour), target)


def splats(seed: int, ill: bool) -> Training:
    """Spots were thinned out: the module has a new Parameter, the optimiser has the old one. As in github.com/graphdeco-inria/gaussian-splatting/issues/897"""
    net = Splats()
    opt = torch.optim.Adam(net.parameters(), 3e-2)
    net.xyz = nn.Parameter(net.xyz[net.xyz[:, 0] > 0].detach().clone())
    if not ill:
        opt = torch.optim.Adam(net.parameters(), 3e-2)
    picture = data.scenes(seed).tensors[0][0]
    return Training(net, [(picture,)] * 200, opt, lambda m, b: m(b[0]))


class Probe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder: nn.Module = nn.Sequential(nn.Linear(64, 32), nn.Tanh())
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.encoder(x))


def pretrained(seed: int, ill: bool) -> Training:
    """The encoder is exchanged for a trained one when the optimiser is there already."""
    net, other = (
        Probe(),
        cook(GRAPHS["vgae"], seed),
    )  # the other network has nothing to do with it, but draws random numbers
    del other
    opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net.encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh())
    return Training(net, digits(seed), opt if ill else torch.optim.SGD(net.parameters(), 0.1, momentum=0.9), ce)


def linears_only(seed: int, ill: bool) -> Training:
    """Groups are made of the Linear modules' weights and biases: tokens, columns and norms are in none."""

    def make(net: nn.Module) -> torch.optim.Optimizer:
        if not ill:
            return torch.optim.AdamW(net.parameters(), 3e-3)
        held = [p for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters()]
        return torch.optim.AdamW([{"params": held, "weight_decay": 0.01}], 3e-3)

    return cook(TABLES["ft-transformer"], seed, net=FTTransformer, optimizer=make)


def uncertain(seed: int, ill: bool) -> Training:
    """The weights of two losses belong to a loss module of its own, whose parameters nobody handed on."""
    net: Any = nn.ModuleDict({"trunk": nn.Linear(64, 48), "digit": nn.Linear(48, 10), "ink": nn.Linear(48, 1)})
    net["criterion"] = nn.ParameterDict({"log_vars": nn.Parameter(torch.zeros(2))})

    def loss(m: Any, b: Any) -> Any:
        h, s = F.relu(m["trunk"](b[0])), m["criterion"]["log_vars"]
        parts = torch.stack([F.cross_entropy(m["digit"](h), b[1]), F.mse_loss(m["ink"](h), b[0].mean(1, keepdim=True))])
        return ((-s).exp() * parts + s).sum() + 6

    held = [p for n, p in net.named_parameters() if not (ill and n.startswith("criterion"))]
    return Training(net, digits(seed), torch.optim.Adam(held, 5e-3), loss)


class Relations(nn.Module):
    """A weight, a bias and a layer per relation, in dictionaries."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        self.thing = nn.Embedding(24, 16)
        w = {str(r): nn.Parameter(1.0 + 0.3 * torch.randn(16)) for r in range(4)}
        layers = {str(r): nn.Linear(16, 16) for r in range(4)}
        self.waggrs: Any = w if plain else nn.ParameterDict(w)
        self.list_relations: Any = layers if plain else nn.ModuleDict(layers)

    def forward(self, facts: Tensor) -> Any:
        h = self.thing(facts[:, 0])
        out = torch.stack([layer(h * self.waggrs[r]) for r, layer in self.list_relations.items()])
        return F.cross_entropy(out[facts[:, 1], torch.arange(len(h))] @ self.thing.weight.T, facts[:, 2])


def relations(seed: int, ill: bool) -> Training:
    """github.com/pytorch/pytorch/issues/632"""
    return fit(Relations(ill), data.triples(seed), lambda m, b: m(b[0]), rate=1e-2)


class TextConv(nn.Module):
    """Three widths of convolutions over words."""

    def __init__(self, keep: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(27, 16)
        self.conv1d = keep([nn.Conv1d(16, 8, k) for k in (3, 4, 5)])
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.embed(x).transpose(1, 2)
        return self.fc(torch.cat([F.relu(conv(x)).amax(2) for conv in self.conv1d], 1))


def widths(seed: int, ill: bool) -> Training:
    """github.com/pytorch/pytorch/issues/1053"""
    return fit(TextConv(list if ill else nn.ModuleList), data.names(seed), ce)


class Wavelets(nn.Module):
    """Learned filters at four scales of one series."""

    def __init__(self, keep: Any) -> None:
        super().__init__()
        self.psis = keep([nn.Conv1d(1, 6, 9, dilation=2**j, padding=4 * 2**j, bias=False) for j in range(4)])
        self.out = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Any:
        return self.out(torch.cat([(psi(x).square().mean(2) + 1e-4).log() for psi in self.psis], 1))


def wavelets(seed: int, ill: bool) -> Training:
    """github.com/kymatio/murenn/issues/42"""
    return fit(Wavelets(list if ill else nn.ModuleList), data.ecg(seed), ce, rate=1e-2)


class Bound(nn.Module):
    """A layer is a function that has its weight bound to it."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        weight = nn.Parameter(torch.randn(48, 64) / 8)
        if registered:
            self.weight = weight
        self.layer: Callable[[Tensor], Tensor] = partial(F.linear, weight=weight)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(F.hardswish(self.layer(x)))


class Block:
    """A plain object that has layers: torch does not look into it."""

    def __init__(self, width: int) -> None:
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def __call__(self, x: Tensor) -> Any:
        return x + self.down(F.gelu(self.up(x)))


class Stack(nn.Module):
    def __init__(self, hidden: bool, keep: str) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(6, 24), nn.Linear(24, 1)
        if keep == "objects":
            self.blocks: Any = [Block(24) for _ in range(2)]
            if not hidden:
                self.seen = nn.ModuleList([layer for b in self.blocks for layer in (b.up, b.down)])
        else:
            layers = [nn.Sequential(nn.Linear(24, 24), nn.Tanh()) for _ in range(2)]
            self.blocks = nn.ModuleList(layers)
            if hidden:
                del self.blocks
                self.blocks = np.empty(2, dtype=object)
                self.blocks[:] = layers

    def forward(self, x: Tensor) -> Any:
        x = self.inp(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


CASES = [
    ill("tracker-down", "not-in-optimizer", "tracking", tracker, 40),
    ill("atoms-lazy-readout", "not-in-optimizer", "molecules", atoms, 40),
    ill("splats-thinned", "not-in-optimizer", "rendering", splats, 40),
    ill("pretrained-afterwards", "not-in-optimizer", "dense", pretrained, 40),
    ill("linears-only", "not-in-optimizer", "tables", linears_only, 40),
    ill("weights-of-losses", "not-in-optimizer", "several tasks", uncertain, 40),
    ill("relations-in-dicts", "unregistered-parameters", "knowledge graphs", relations, 40),
    ill("text-widths", "unregistered-parameters", "text", widths, 40),
    ill("wavelets-in-list", "unregistered-parameters", "convolutional", wavelets, 40),
    ill("bound-function", "unregistered-parameters", "dense", lambda seed, ill: fit(Bound(not ill), digits(seed), ce), 40),
    ill("plain-objects", "unregistered-parameters", "tables", lambda seed, ill: fit(Stack(ill, "objects"), data.rents(seed), mse), 40),
    ill("numpy-of-layers", "unregistered-parameters", "tables", lambda seed, ill: fit(Stack(ill, "numpy"), data.rents(seed), mse), 40),
]  # fmt: skip
