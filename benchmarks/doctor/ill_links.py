"""Ill in its links: what is cut off, stuck, not registered, not stepped, thawed, stale, or growing."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, ill, optimizer_of, training
from benchmarks.doctor.losses import classify, regress
from benchmarks.doctor.nets import Attends, Graph, Recurrent, cnn, mlp

grey = partial(data.pictures, side=8, channels=1, size=32)


class Cut(nn.Module):
    """A body and a head, with something between that may stop the gradient."""

    def __init__(self, body: nn.Module, head: nn.Module, how: str) -> None:
        super().__init__()
        self.body, self.head, self.how = body, head, how

    def forward(self, *x: Tensor) -> Tensor:
        if self.how == "no_grad":
            with torch.no_grad():
                return self.head(self.body(*x))  # the head is cut off with it
        if self.how == "checkpoint":
            return self.head(checkpoint(self.body, *x, use_reentrant=True))
        if self.how == "body-no-grad":
            with torch.no_grad():
                h = self.body(*x)
            return self.head(h)
        h = self.body(*x)
        if self.how == "detach":
            h = h.detach()
        elif self.how == "data":
            h = h.data
        elif self.how == "numpy":
            h = torch.from_numpy(h.detach().numpy().copy())
        elif self.how == "tensor":
            h = torch.tensor(h.tolist())
        return self.head(h)


class Picks(nn.Module):
    """A learned choice by argmax: what chooses has no gradient. Cured: a soft choice."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard, self.chooser, self.values, self.head = (
            hard,
            nn.Linear(64, 16),
            nn.Embedding(16, 32),
            nn.Linear(96, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        scores = self.chooser(x)
        value = self.values(scores.argmax(1)) if self.hard else scores.softmax(1) @ self.values.weight
        return self.head(torch.cat((x, value), 1))


class Gated(nn.Module):
    """A learned gate that is compared with a threshold, so that only zeros and ones come out."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard, self.gate, self.body, self.head = hard, nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        return self.head(F.relu(self.body(x)) * ((gate > 0).float() if self.hard else gate.sigmoid()))


def cut(seed: int, ill: bool, how: str) -> Training:
    """Cut a part off; cured: nothing between."""
    if how in ("argmax", "threshold"):
        return training((Picks if how == "argmax" else Gated)(ill), data.digits(seed), classify, "adam", 3e-3)
    if how == "graph":
        model: nn.Module = Cut(GraphBody(), nn.Linear(24, 3), "detach" if ill else "")
        return training(model, data.graphs(seed), classify, "adam", 1e-2)
    if how == "cnn":
        model = Cut(nn.Sequential(*cnn()[:-1]), nn.Linear(128, 4), "body-no-grad" if ill else "")
        return training(model, grey(seed), classify, "adam", 3e-3)
    if how == "recurrent":
        inner = Recurrent("GRU", 1, 24)
        model = Cut(inner, nn.Sequential(nn.ReLU(), nn.Linear(24, 3)), "data" if ill else "")
        return training(model, data.waves(seed), classify, "adam", 1e-2)
    if how == "transformer":
        encoder = Attends(30, 16)
        model = Cut(encoder, nn.Sequential(nn.ReLU(), nn.Linear(16, 2)), "tensor" if ill else "")
        return training(model, data.tokens(seed), classify, "adam", 2e-3)
    model = Cut(mlp(64, 32, 48, 2), nn.Sequential(nn.ReLU(), nn.Linear(32, 10)), how if ill else "")
    return training(model, data.digits(seed), classify, "adam", 3e-3)


class GraphBody(Graph):
    """The graph convolutions without the head."""

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(links @ layer(x))
        return x.mean(1)


class Branch(nn.Module):
    """x + b(a(x)) where both factors start at zero; cured: one of them."""

    def __init__(self, kind: str, both: bool) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(1, 8, 3, padding=1) if kind == "conv" else nn.Linear(64, 48)
        if kind == "conv":
            self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        else:
            self.a, self.b = nn.Linear(48, 8), nn.Linear(8, 48)
        self.scale = nn.Parameter(torch.zeros(()) if kind in ("gate", "conv-gate") else torch.ones(()))
        if kind != "gate":
            self._zero(self.b)
        if both:
            self._zero(self.b if kind == "gate" else self.a)
        self.head = nn.Linear(512 if kind == "conv" else 48, 4 if kind == "conv" else 10)

    @staticmethod
    def _zero(layer: Any) -> None:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.stem(x))
        inner = self.a(h)
        inner = F.relu(inner) if self.kind == "relu" else torch.tanh(inner) if self.kind == "tanh" else inner
        return self.head((h + self.scale * self.b(inner)).flatten(1))


class Adapted(nn.Module):
    """A frozen layer with a product of two matrices beside it."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.base = nn.Linear(12, 32).requires_grad_(False)
        self.a = nn.Parameter(torch.zeros(4, 12) if both else torch.randn(4, 12) / 4)
        self.b = nn.Parameter(torch.zeros(32, 4))
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.base(x) + x @ self.a.T @ self.b.T))


class Factors(nn.Module):
    """Users times items, both embeddings zero: the product's gradient is zero for ever."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.users, self.items, self.bias = nn.Embedding(30, 8), nn.Embedding(30, 8), nn.Embedding(30, 1)
        for each in (self.users, self.items) if both else (self.items,):
            nn.init.zeros_(each.weight)

    def forward(self, x: Tensor) -> Tensor:
        return (self.users(x[:, 0]) * self.items(x[:, 1])).sum(1, keepdim=True) + self.bias(x[:, 0])


def ratings(seed: int) -> data.Batches:
    """Return pairs (B, 2) of numbers with a rating (B, 1) that is a product of hidden tastes."""
    g = data.generator(seed)
    pairs = torch.randint(0, 30, (2048, 2), generator=g)
    one, two = torch.randn(30, 3, generator=g), torch.randn(30, 3, generator=g)
    return data.Batches((pairs, (one[pairs[:, 0]] * two[pairs[:, 1]]).sum(1, keepdim=True)), 128, seed)


def stuck(seed: int, ill: bool, kind: str) -> Training:
    """Two zero factors: neither ever has a gradient."""
    if kind == "lora":
        return training(Adapted(ill), data.table(seed), classify, "adam", 1e-2)
    if kind == "factors":
        return training(Factors(ill), ratings(seed), regress, "adam", 3e-2)
    batches = grey(seed) if kind == "conv" else data.digits(seed)
    return training(Branch(kind, ill), batches, classify, "adam", 3e-3)


def left_out(seed: int, ill: bool, kind: str) -> Training:
    """The optimiser does not hold all that should learn."""
    if kind in ("head-replaced", "head-replaced-cnn"):
        model: nn.Module = cnn() if kind.endswith("cnn") else mlp(64, 20)
        optimizer = optimizer_of("adam", model.parameters(), 3e-3)
        model[-1] = nn.Linear(128, 4) if kind.endswith("cnn") else nn.Linear(64, 10)  # type: ignore[operator]
        if not ill:
            optimizer = optimizer_of("adam", model.parameters(), 3e-3)
        return Training(model, grey(seed) if kind.endswith("cnn") else data.digits(seed), optimizer, classify)
    if kind == "copied":
        import copy

        model = mlp(64, 10)
        held = model if not ill else copy.deepcopy(model)
        return Training(model, data.digits(seed), optimizer_of("sgd", held.parameters(), 0.05), classify)
    if kind == "by-name":
        model = Attends(30, 2)
        held_too = [p for name, p in model.named_parameters() if not ill or "encoder" in name]
        return Training(model, data.tokens(seed), optimizer_of("adamw", held_too, 1e-3), classify)
    if kind == "second-net":
        model = nn.ModuleDict({"encoder": mlp(64, 16, 48, 2), "decoder": mlp(16, 64, 48, 2)})

        def rebuild(net: Any, batch: Any) -> Tensor:
            return F.mse_loss(net["decoder"](net["encoder"](batch[0])), batch[0])

        held_by = model["encoder"] if ill else model
        return Training(model, data.digits(seed), optimizer_of("adam", held_by.parameters(), 3e-3), rebuild)
    model = Recurrent("GRU", 8, 40, 24, every=True, vocabulary=40)  # "no-embedding"

    def foretell(net: Any, batch: Any) -> Tensor:
        return F.cross_entropy(net(batch[0][:, :-1]).flatten(0, 1), batch[0][:, 1:].flatten())

    kept = [*model.core.parameters(), *model.head.parameters()] if ill else list(model.parameters())
    return Training(model, data.progressions(seed), optimizer_of("adam", kept, 1e-2), foretell)


class Hidden(nn.Module):
    """Layers kept where torch does not look: a list, a dict, a plain tensor, a closure, or made in forward."""

    def __init__(self, how: str, inputs: int = 64, outputs: int = 10) -> None:
        super().__init__()
        self.how = how
        layers = [nn.Linear(48, 48) for _ in range(3)]
        self.stem, self.head = nn.Linear(inputs, 48), nn.Linear(48, outputs)
        if how == "list":
            self.layers: Any = layers
        elif how == "dict":
            self.layers = dict(enumerate(layers))
        elif how == "closure":
            self.run = lambda h: layers[1](F.relu(layers[0](h)))
        elif how == "tensor":
            self.mix = (torch.randn(48, 48) / 7).requires_grad_(True)
        elif how == "product":
            self.mix = nn.Parameter(torch.randn(48, 48)) * 0.14
        elif how in ("right", "fresh"):
            self.layers = nn.ModuleList(layers) if how == "right" else None

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.stem(x))
        if self.how == "closure":
            return self.head(F.relu(self.run(h)))
        if self.how in ("tensor", "product"):
            mix = self.mix if self.how == "tensor" else self.mix.detach().requires_grad_(True)
            return self.head(F.relu(h @ mix))
        if self.how == "fresh":
            return self.head(F.relu(nn.Linear(48, 48)(h)))
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            h = F.relu(layer(h))
        return self.head(h)


class HiddenConvolutions(nn.Module):
    """Branches of a picture network in a plain list."""

    def __init__(self, right: bool) -> None:
        super().__init__()
        branches = [nn.Conv2d(1, 8, size, padding=size // 2) for size in (1, 3, 5)]
        self.branches = nn.ModuleList(branches) if right else branches
        self.head = nn.Linear(24 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([F.relu(branch(x)) for branch in self.branches], 1)
        return self.head(F.adaptive_avg_pool2d(h, 4).flatten(1))


def hidden(seed: int, ill: bool, how: str) -> Training:
    """Cured: a ModuleList, or a Parameter."""
    if how == "convolutions":
        return training(HiddenConvolutions(not ill), grey(seed), classify, "adam", 3e-3)
    if how == "regress":
        return training(Hidden("list" if ill else "right", 8, 1), data.teacher(seed), regress, "adam", 5e-3)
    return training(Hidden(how if ill else "right"), data.digits(seed), classify, "adam", 3e-3)


CASES: list[Case] = [
    *[ill(how, "disconnected-parameters", family, cut, 40, also, how=how) for how, family, also in (
        ("detach", "dense", ""), ("body-no-grad", "dense", ""), ("numpy", "dense", ""), ("checkpoint", "dense", ""), ("argmax", "dense", ""),
        ("threshold", "dense", ""), ("graph", "graph nets", ""), ("cnn", "convolutional", ""), ("recurrent", "recurrent", ""), ("transformer", "own transformers", ""))],
    *[ill(kind, "stuck-at-zero", family, stuck, 40, kind=kind) for kind, family in (
        ("lora", "dense"), ("factors", "embeddings"), ("conv", "convolutional"), ("gate", "residual"), ("relu", "residual"), ("tanh", "residual"))],
    *[ill(kind, "not-in-optimizer", family, left_out, 60, kind=kind) for kind, family in (
        ("head-replaced", "dense"), ("head-replaced-cnn", "convolutional"), ("copied", "dense"), ("by-name", "own transformers"),
        ("second-net", "autoencoders"), ("no-embedding", "recurrent"))],
    *[ill(how, "unregistered-parameters", family, hidden, 60, how=how) for how, family in (
        ("list", "dense"), ("dict", "dense"), ("closure", "dense"), ("tensor", "dense"), ("product", "dense"), ("fresh", "dense"),
        ("convolutions", "convolutional"), ("regress", "regression"))],
]  # fmt: skip
