"""Ill in its links: cut off, stuck at zero, unknown to the optimiser, unregistered."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify
from benchmarks.doctor.second.nets import GPT, Convolved, LeNet, Tagger, ViT
from benchmarks.doctor.second.pool import from_pool


class Cut(nn.Module):
    """A body, a cut in one of many ways (or none), a head."""

    def __init__(self, body: nn.Module, head: nn.Module, how: str) -> None:
        super().__init__()
        self.body, self.head, self.how = body, head, how

    def forward(self, *x: Tensor) -> Tensor:
        if self.how == "inference":
            with torch.no_grad():
                h = self.body(*x)
        else:
            h = self.body(*x)
        if self.how == "numpy":
            h = torch.from_numpy(h.detach().numpy())
        elif self.how == "new":
            h = torch.tensor(h.tolist(), requires_grad=True)
        elif self.how == "data":
            h = h.data
        elif self.how == "round":
            h = h.round()
        elif self.how == "sign":
            h = torch.sign(h)
        elif self.how == "hard":
            h = F.one_hot(h.argmax(-1), h.shape[-1]).float()
        return self.head(h)


class Drawn(nn.Module):
    """A noisy code: drawn with its gradient (rsample) or without (sample)."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.wrong = mlp(24, 12, 48, 1), mlp(6, 24, 48, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        mean, log = self.encoder(x).chunk(2, 1)
        normal = torch.distributions.Normal(mean, 0.1 * F.softplus(log) + 1e-3)
        return self.decoder(normal.sample() if self.wrong else normal.rsample())


class Still(nn.Module):
    """A deep equilibrium all of whose steps run without a graph; cured: but the last."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.inject, self.cell, self.out, self.wrong = nn.Linear(24, 32), nn.Linear(32, 32), nn.Linear(32, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        u = self.inject(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(10):
                z = torch.tanh(0.6 * self.cell(z) + u)
        return self.out(torch.tanh(z + u) if self.wrong else torch.tanh(0.6 * self.cell(z) + u))


class Routed(nn.Module):
    """A router that picks one expert and does not weigh what it says; cured: weighed."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.router, self.wrong = nn.Linear(24, 3), wrong
        self.experts = nn.ModuleList(mlp(24, 4, 32, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.stack([expert(x) for expert in self.experts], 1)
        weight, chosen = self.router(x).softmax(1).max(1)
        picked = out[torch.arange(len(x)), chosen]
        return picked if self.wrong else weight[:, None] * picked


class Written(nn.Module):
    """A hypernetwork whose weights are written into .data of the other net; cured: used as they are."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.maker, self.base, self.wrong = nn.Linear(4, 96), nn.Linear(24, 4), wrong
        self.register_buffer("task", torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        made = 0.3 * self.maker(self.task).view(4, 24)
        if not self.wrong:
            return F.linear(x, self.base.weight + made, self.base.bias)
        return F.linear(x, self.base.weight + made.data, self.base.bias)


def cut(seed: int, ill: bool, how: str) -> Training:
    """Something between body and head stops the gradient."""
    if how in ("sample", "still", "routed", "written"):
        net: nn.Module = {"sample": Drawn, "still": Still, "routed": Routed, "written": Written}[how](ill)
        loss: Any = (lambda m, b: F.mse_loss(m(b[0]), b[0])) if how == "sample" else classify
        return Training(net, tasks.factors(seed), by("adam", 5e-3, net.parameters()), loss)
    bodies: dict[str, tuple[str, Any, int, int]] = {
        "numpy": ("vit", partial(ViT, 16), 16, 4),
        "new": ("pointnet", partial(mlp, 3, 16, 32, 1), 16, 3),
        "data": ("tagger", partial(Tagger, out=16), 16, 4),
        "inference": ("gcn", partial(Convolved, groups=12), 12, 3),
        "round": ("lenet", partial(LeNet, classes=16), 16, 4),
        "sign": ("highway", partial(mlp, 13, 24, 32, 1), 24, 3),
        "hard": ("elman", partial(nn.Embedding, 12, 16), 16, 4),
    }
    name, body, width, out = bodies[how]
    head: nn.Module = nn.Linear(width, out)
    if how == "new":
        head = nn.Sequential(Largest(), head)
    if how == "hard":
        head = nn.Sequential(Largest(), head)
    return from_pool(seed, name, net=lambda: Cut(body(), head, how if ill else ""))


class Largest(nn.Module):
    """The largest over the second axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1)


def climbs(seed: int, ill: bool) -> Training:
    """An actor that is to climb its critic, but for a detach of the action."""
    model = nn.ModuleDict({"actor": nn.Sequential(mlp(4, 1, 32, 1), nn.Tanh()), "critic": mlp(5, 1, 32, 2)})

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen = torch.randn(64, 4)
        action = torch.rand(64, 1) * 2 - 1
        reward = -(action - torch.tanh(seen[:, :1])).square()
        best = net["actor"](seen)
        loss = F.mse_loss(net["critic"](torch.cat((seen, action), 1)), reward)
        loss = loss - 0.1 * net["critic"](torch.cat((seen, best.detach() if ill else best), 1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Training(model, tasks.rings(seed), by("adam", 3e-3, model.parameters()), train_step=step)


def zeroed(*layers: Any) -> None:
    """Set weights and biases to zero."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class Towers(nn.Module):
    """Users and items as products of two towers, whose last layers start at zero."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.left, self.right, self.bias = nn.Embedding(40, 8), nn.Embedding(40, 8), nn.Embedding(40, 1)
        self.left_out, self.right_out = nn.Linear(8, 8), nn.Linear(8, 8)
        zeroed(self.left_out, *([self.right_out] if both else []))

    def forward(self, x: Tensor) -> Tensor:
        return (self.left_out(self.left(x[:, 0])) * self.right_out(self.right(x[:, 1]))).sum(1) + self.bias(x[:, 2])[
            :, 0
        ]


class Swish(nn.Module):
    """A gated unit on a stream: both of its factors start at zero, or one."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.stem, self.gate, self.up, self.down, self.out = (
            nn.Linear(24, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 4),
        )
        zeroed(self.gate, *([self.up] if both else []))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.stem(x))
        return self.out(h + self.down(F.silu(self.gate(h)) * self.up(h)))


def stuck(seed: int, ill: bool, kind: str) -> Training:
    """Two factors, both zero."""
    if kind == "towers":
        return from_pool(seed, "fields", net=lambda: Towers(ill))
    if kind == "gated":
        net: Any = Swish(ill)
        return Training(net, tasks.factors(seed), by("adam", 5e-3, net.parameters()), classify)
    if kind == "scale":  # a branch scaled by zero, whose last layer is zero as well

        def scaled() -> nn.Module:
            vit: Any = ViT()
            for block in vit.blocks:
                block.mlp = Scaled(block.mlp, ill)
            return vit

        return from_pool(seed, "vit", net=scaled)
    gpt: Any = GPT(2, 24)  # "attention": queries and keys both start at zero, so that neither ever moves
    for block in gpt.blocks:
        with torch.no_grad():
            block.attention.qkv.weight[: 48 if ill else 24].zero_()
        block.attention = Apart(block.attention)
    return Training(
        gpt,
        tasks.corpus(seed),
        by("adam", 5e-3, gpt.parameters()),
        lambda m, b: F.cross_entropy(m(b[0][:, :-1]).flatten(0, 1), b[0][:, 1:].flatten()),
    )


class Apart(nn.Module):
    """Attention whose queries, keys and values are layers of their own."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        width = inner.out.in_features
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        with torch.no_grad():
            for layer, rows in zip((self.q, self.k, self.v), inner.qkv.weight.split(width), strict=True):
                layer.weight.copy_(rows)

    def forward(self, x: Tensor) -> Tensor:
        t = x.shape[1]
        scores = self.q(x) @ self.k(x).transpose(1, 2) / x.shape[2] ** 0.5
        return self.out(scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf")).softmax(-1) @ self.v(x))


class Scaled(nn.Module):
    """A branch times a learned gain that starts at zero."""

    def __init__(self, body: Any, both: bool) -> None:
        super().__init__()
        self.body, self.gain = body, nn.Parameter(torch.zeros(()))
        if both:
            zeroed(body[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.body(x)


CASES: list[Case] = [
    *[ill(f"cut-{how}", "disconnected-parameters", family, partial(cut, how=how), 40, also) for how, family, also in (
        ("numpy", "vision from scratch", ""), ("new", "sets", ""), ("data", "recurrent", ""), ("inference", "graph nets", ""), ("round", "tutorials", ""), ("sign", "dense", ""),
        ("hard", "embeddings", ""), ("sample", "autoencoders", ""), ("still", "implicit", ""), ("routed", "idle experts", ""), ("written", "implicit", ""))],
    ill("cut-actor", "disconnected-parameters", "reinforcement", climbs, 40),
    *[ill(f"zero-{kind}", "stuck-at-zero", family, partial(stuck, kind=kind), 40) for kind, family in (
        ("towers", "embeddings"), ("gated", "dense"), ("scale", "vision from scratch"), ("attention", "transformers from scratch"))],
]  # fmt: skip
