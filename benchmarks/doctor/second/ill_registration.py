"""Ill in its registration: what the optimiser does not hold, and what torch does not know."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by
from benchmarks.doctor.second.nets import Block, Convolved, LeNet, Listener, Seq2Seq, ViT
from benchmarks.doctor.second.pool import from_pool


def left_out(seed: int, ill: bool, kind: str) -> Training:
    """The optimiser does not hold all that should learn."""
    if kind == "decoder-only":
        net: Any = Seq2Seq()
        kept = chain(net.embed_out.parameters(), net.decoder.parameters(), net.out.parameters())
        return from_pool_with(seed, "seq2seq", net, kept if ill else net.parameters())
    if kind == "new-head":  # a ViT whose head is replaced after the optimiser was made
        net = ViT(10)
        old = list(net.parameters())
        net.head = nn.Linear(32, 4)
        return from_pool_with(seed, "vit", net, old if ill else net.parameters())
    if kind == "reset":  # the layers are made anew by a fancy initialiser after the optimiser was made
        net = LeNet()
        old = list(net.parameters())
        for layer in (net.fc1, net.fc2):
            layer.weight = nn.Parameter(torch.nn.init.orthogonal_(torch.empty_like(layer.weight)))
        return from_pool_with(seed, "lenet", net, old if ill else net.parameters())
    if kind == "thawed":  # unfrozen after the optimiser was made from what learns
        net = Listener()
        net.core.requires_grad_(False)
        old = [p for p in net.parameters() if p.requires_grad]
        net.core.requires_grad_(True)
        return from_pool_with(seed, "listener", net, old if ill else net.parameters())
    if kind == "deep-copy":  # the moving average is what the optimiser was given
        net = Convolved("gat")
        return from_pool_with(seed, "gat", net, copy.deepcopy(net).parameters() if ill else net.parameters())
    model: Any = nn.ModuleDict(
        {"generator": mlp(4, 2, 32, 2), "judge": mlp(2, 1, 32, 2)}
    )  # "wrong-player": both hold the judge
    both = [
        by("adam", 1e-3, model["judge" if ill else "generator"].parameters()),
        by("adam", 1e-3, model["judge"].parameters()),
    ]

    def step(players: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        real, fake = batch[0], players["generator"](torch.randn(len(batch[0]), 4))
        optimizers[1].zero_grad()
        loss = (F.softplus(-players["judge"](real)) + F.softplus(players["judge"](fake.detach()))).mean()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        F.softplus(-players["judge"](fake)).mean().backward()
        optimizers[0].step()
        return loss

    return Training(model, tasks.rings(seed), both, train_step=step)


def from_pool_with(seed: int, name: str, net: nn.Module, parameters: Any) -> Training:
    """Return a training of the pool of this very net, whose optimiser holds these parameters."""
    training = from_pool(seed, name)
    rate = training.optimizer.param_groups[0]["lr"]
    return Training(net, training.batches, by("adam", min(rate, 1e-2), parameters), training.loss)


class Unseen(nn.Module):
    """A GPT's blocks, an expert's list, a place or a warmth, kept where torch does not look."""

    def __init__(self, kind: str, right: bool) -> None:
        super().__init__()
        self.kind = kind
        self.embed, self.out = nn.Embedding(40, 24), nn.Linear(24, 4)
        self.core = nn.GRU(24, 24, batch_first=True)
        blocks = (
            [Block(24, causal=False) for _ in range(2)] if kind == "blocks" else [mlp(24, 24, 24, 1) for _ in range(2)]
        )
        place = 0.3 * torch.randn(10, 24)
        self.blocks: Any = nn.ModuleList(blocks) if right and kind in ("blocks", "tuple") else tuple(blocks)
        self.table: Any = nn.ModuleDict({"a": blocks[0], "b": blocks[1]}) if right else {"a": blocks[0], "b": blocks[1]}
        self.place: Any = nn.Parameter(place) if right else place.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        if self.kind == "place":
            h = h + self.place
        h = h + self.core(h)[0]
        if self.kind == "table":
            h = h + self.table["a"](h) + self.table["b"](h)
        for block in self.blocks if self.kind in ("blocks", "tuple") else ():
            h = block(h) if self.kind == "blocks" else h + block(h)
        return self.out(h)


class Flattened(nn.Module):
    """A first linear layer made in forward, since nobody knew how many pixels come out."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        self.conv, self.fc2 = nn.Conv2d(1, 8, 3), nn.Linear(32, 4)
        self.fc1 = nn.Linear(8 * 25, 32) if right else None

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1)
        fc1 = self.fc1 if self.fc1 is not None else nn.Linear(h.shape[1], 32)
        return self.fc2(F.relu(fc1(h)))


class Graphs(nn.Module):
    """Graph layers appended to a plain list."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        layers = [nn.Linear(8 if n == 0 else 16, 16) for n in range(3)]
        self.layers: Any = nn.ModuleList(layers) if right else layers
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(links @ x))
        return self.out(x)


def unseen(seed: int, ill: bool, kind: str) -> Training:
    """Cured: a ModuleList, a ModuleDict, a Parameter."""
    if kind == "made-in-forward":
        return from_pool(seed, "lenet", net=lambda: Flattened(not ill))
    if kind == "graph-list":
        return from_pool(seed, "gcn", net=lambda: Graphs(not ill))
    return from_pool(seed, "tagger", net=lambda: Unseen(kind, not ill), rate=5e-3)


CASES: list[Case] = [
    *[ill(f"left-{kind}", "not-in-optimizer", family, partial(left_out, kind=kind), 50, also) for kind, family, also in (
        ("decoder-only", "recurrent", ""), ("new-head", "vision from scratch", ""), ("reset", "tutorials", ""), ("thawed", "recurrent", ""), ("deep-copy", "graph nets", ""), ("wrong-player", "games", "stale-gradients"))],
    *[ill(f"unseen-{kind}", "unregistered-parameters", family, partial(unseen, kind=kind), 50) for kind, family in (
        ("blocks", "transformers from scratch"), ("tuple", "recurrent"), ("table", "recurrent"), ("place", "recurrent"), ("made-in-forward", "tutorials"), ("graph-list", "graph nets"))],
]  # fmt: skip
