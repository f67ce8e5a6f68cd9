"""Ill in depth and time: gradients that vanish or explode, dead and flat units, signals that become one, twins. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import he, mlp
from benchmarks.doctor.second.common import by, classify, squared
from benchmarks.doctor.second.pool import linears, reweighed
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_losses import mixture
from benchmarks.doctor.third.pool import POOL, take
from benchmarks.doctor.third.tasks import Net


def stripes(act: Any, depth: int, width: int = 8) -> nn.Sequential:
    """Return convolutions on pictures of 0 and 1, one after another."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Conv2d(1 if number == 0 else width, width, 3, padding=1), act()]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(width * 16, 2))


def vanishes(seed: int, ill: bool, kind: str) -> Training:
    """Each layer passes on less than it gets. Cured: another function, or weights that keep the variance."""
    if kind == "stripes":
        net: nn.Module = stripes(nn.Softsign, 12)
        return Training(net if ill else he(net, 1.5), tasks.mosaic(seed), by("sgd", 0.02, net.parameters()), classify)
    if kind == "gelu-16":
        net = mlp(10, 1, 48, 16, nn.GELU)
        return take(seed, "table", net=lambda: net if ill else he(net, 1.45), way="sgd", rate=3e-3)
    if kind == "hard-sigmoid":
        return take(
            seed,
            "arms",
            net=lambda: mlp(2, 3, 48, 6, nn.Hardsigmoid) if ill else he(mlp(2, 3, 48, 6, nn.Tanh), 1.2),
            way="sgd",
            rate=0.1,
        )
    if kind == "mixture":
        net = mlp(1, 12, 32, 8, nn.Tanh)
        return take(
            seed,
            "mixture",
            net=lambda: reweighed(net, std=0.06, bias=0.0) if ill else he(net, 1.1),
            loss=mixture,
            rate=2e-3,
        )
    net = mlp(
        16, 16, 32, 10, nn.Sigmoid if ill else nn.ELU
    )  # "other-view": one view from the other, through ten sigmoids
    return Training(net if ill else he(net, 1.2), tasks.couples(seed), by("sgd", 0.05, net.parameters()), squared)


class Doubled(nn.Module):
    """A stream that is added to itself before each branch."""

    def __init__(self, wrong: bool, depth: int = 12) -> None:
        super().__init__()
        self.wrong, self.into, self.out = wrong, nn.Linear(2, 32), nn.Linear(32, 3)
        self.branches = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        h = self.into(x)
        for branch in self.branches:
            h = (2 * h if self.wrong else h) + 0.3 * torch.tanh(branch(h))
        return self.out(h)


def explodes(seed: int, ill: bool, kind: str) -> Training:
    """Each layer passes on more than it gets."""
    if kind == "stripes":
        net: nn.Module = stripes(nn.LeakyReLU, 8)
        return Training(he(net, 4.0 if ill else 1.4), tasks.mosaic(seed), by("sgd", 0.01, net.parameters()), classify)
    if kind == "randn":  # weights by torch.randn, as they are written by hand
        net = mlp(2, 3, 48, 7, nn.GELU)
        return take(seed, "arms", net=lambda: reweighed(net, std=1.0) if ill else he(net), rate=3e-3)
    if kind == "doubled":
        return take(seed, "arms", net=lambda: Doubled(ill), way="sgd", rate=0.02)
    net = mlp(10, 1, 48, 9, nn.ELU)
    return take(seed, "table", net=lambda: he(net, 3.5 if ill else 1.2), way="sgd", rate=1e-2)


def dead(seed: int, ill: bool, kind: str) -> Training:
    """ReLUs that no sample switches on.

    `last`: github.com/jvargasmu/population_estimation/issues/68; `small`: community.deeplearning.ai/t/loss-values-do-not-change/324182.
    """
    if kind == "last":
        x, y = tasks.friedman(seed).tensors
        net: nn.Module = nn.Sequential(mlp(10, 1, 48, 2), nn.ReLU())
        nn.init.constant_(net[0][-1].bias, -3.0 if ill else 1.5)  # type: ignore[index]
        return Training(net, Batches((x, (y + 2).clamp(min=0)), 64, seed), by("adam", 5e-3, net.parameters()), squared)
    if kind == "small":  # y = 2 x - 1 by four, two and one ReLU
        x = torch.arange(-1.0, 6.0)[:, None]
        net = nn.Sequential(
            nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU() if ill else nn.Identity()
        )
        with torch.no_grad():
            for layer in linears(net):
                layer.weight.copy_(-layer.weight.abs() if ill and layer.in_features == 4 else layer.weight)
                layer.bias.fill_(-0.3 if ill and layer.in_features == 4 else 0.1)
        return Training(net, [(x, 2 * x - 1)] * 300, by("adam", 2e-2, net.parameters()), squared)
    if kind == "below":  # inputs above zero, weights below
        net = he(stripes(nn.ReLU, 2))
        with torch.no_grad():
            for layer in linears(net)[:-1] if ill else ():
                layer.weight.copy_(-layer.weight.abs())
                layer.bias.fill_(-0.1)
        return Training(net, tasks.mosaic(seed), by("sgd", 0.05, net.parameters()), classify)
    if kind == "first-step":  # the first steps, at a rate far too large, throw all units off
        net = he(mlp(10, 1, 64, 2))
        return Training(
            net, tasks.friedman(seed, shift=-3.0), by("plain", 0.6 if ill else 0.02, net.parameters()), squared
        )
    net = mlp(2, 3, 64, 3)
    return take(seed, "arms", net=lambda: reweighed(net, bias=-4.0) if ill else net)


class Written(nn.Module):
    """A linear layer written by hand: torch.randn, several times over, or by the root of its inputs."""

    def __init__(self, inputs: int, outputs: int, wrong: bool) -> None:
        super().__init__()
        self.w, self.b = (
            nn.Parameter(torch.randn(inputs, outputs) * (15.0 if wrong else inputs**-0.5)),
            nn.Parameter(torch.zeros(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w + self.b


def flat(seed: int, ill: bool, kind: str) -> Training:
    """Units far out where their function is flat."""
    if kind == "by-hand":
        return take(
            seed,
            "arms",
            net=lambda: nn.Sequential(
                Written(2, 64, ill), nn.Tanh(), Written(64, 64, ill), nn.Tanh(), nn.Linear(64, 3)
            ),
        )
    if kind == "sum":  # a sum over ten goes into a tanh, after weights for a mean
        net: nn.Module = Net(
            lambda m, x: m.out(m.act(m.mix(m.each(x).sum(1) * (400 if ill else 0.1)))),
            each=nn.Sequential(nn.Linear(1, 32), nn.ReLU()),
            mix=nn.Linear(32, 32),
            act=nn.Tanh(),
            out=nn.Linear(32, 1),
        )
        return take(seed, "handfuls", net=lambda: net, rate=5e-3)
    if kind == "six":  # ReLU6 above six
        net = he(mlp(10, 1, 48, 2, nn.ReLU6))
        return take(seed, "table", net=lambda: reweighed(net, bias=25.0) if ill else net, rate=1e-3)
    net = stripes(nn.Sigmoid, 2)
    return Training(
        reweighed(net, bias=-20.0) if ill else reweighed(net, std=0.5),
        tasks.mosaic(seed),
        by("adam", 1e-2, net.parameters()),
        classify,
    )


def collapsed(seed: int, ill: bool, kind: str) -> Training:
    """Every input becomes one and the same."""
    if kind == "norm-of-one":  # a layer norm over the one number of each member
        return take(
            seed,
            "handfuls",
            net=lambda: Net(
                lambda m, x: m.after(m.each(m.norm(x)).mean(1)),
                norm=nn.LayerNorm(1) if ill else nn.Identity(),
                each=mlp(1, 32, 32, 1),
                after=mlp(32, 1, 32, 1),
            ),
        )
    if kind == "no-stream":  # attention upon attention without a stream: all words become their mean

        def run(m: Any, x: Tensor) -> Tensor:
            h = m.embed(x)
            for ask in m.asks:
                h = ask(h, h, h)[0] if ill else F.layer_norm(h + ask(h, h, h)[0], (24,))
            return m.out(h)

        return take(
            seed,
            "brackets",
            net=lambda: (
                Net(
                    run,
                    embed=nn.Embedding(2, 24),
                    asks=nn.ModuleList(nn.MultiheadAttention(24, 2, batch_first=True) for _ in range(6 if ill else 1)),
                    out=nn.Linear(24, 4),
                )
                if ill
                else POOL["brackets"].net()
            ),
            rate=3e-3,
        )
    if kind == "mean-of-batch":  # time comes first in the recurrence, but not in the data

        def last(m: Any, x: Tensor) -> Tensor:
            h = m.embed(x).mean(0 if ill else 1)
            return m.out(F.relu(m.mix(h.mean(0, keepdim=True).expand(len(x), -1) if ill else h)))

        return take(
            seed,
            "reviews",
            net=lambda: Net(last, embed=nn.Embedding(60, 24), mix=nn.Linear(24, 32), out=nn.Linear(32, 2)),
            rate=1e-2,
        )

    def loss(m: Any, batch: Any) -> Tensor:  # "posterior": a price on the code that leaves nothing of it
        mean, log = m.encoder(batch[0].flatten(1)).chunk(2, 1)
        out = m.decoder(mean + torch.randn_like(mean) * (0.5 * log).exp())
        kl = 0.5 * (mean.square() + log.exp() - 1 - log).sum(1).mean()
        return F.binary_cross_entropy_with_logits(out, batch[0].flatten(1)) + (30.0 if ill else 1e-3) * kl

    net = Net(lambda m, x: m.encoder(x.flatten(1)), encoder=mlp(64, 16, 48, 1), decoder=mlp(8, 64, 48, 1))
    held = next(iter(tasks.mosaic(seed)))[0].flatten(1)
    return Training(
        net,
        tasks.mosaic(seed),
        by("adam", 1e-2, net.parameters()),
        loss,
        score=lambda m: float((m.decoder(m.encoder(held).chunk(2, 1)[0]).sigmoid() - held).square().mean() / 0.25),
    )


def twins(seed: int, ill: bool, kind: str) -> Training:
    """All of a layer start alike, and stay so."""
    net: Any = POOL[kind].net()
    if ill and kind == "kernels":
        with torch.no_grad():
            net.centre.fill_(0.1)
            net.out.weight.copy_(torch.randn(3, 1).expand(3, 40) / 10)
    elif ill:
        for p in net.parameters():
            nn.init.constant_(p, 0.05)
    return take(seed, kind, net=lambda: net)


CASES: list[Case] = [
    *[ill(f"deeper-{kind}", "vanishing-depth", family, partial(vanishes, kind=kind), 100, "signal-collapse") for kind, family in (("stripes", "convolutional"), ("gelu-16", "tables"), ("hard-sigmoid", "dense"), ("mixture", "densities"), ("other-view", "contrastive"))],
    *[ill(f"deeper-{kind}", "exploding-depth", family, partial(explodes, kind=kind), 60, "overflow-forward") for kind, family in (("stripes", "convolutional"), ("randn", "dense"), ("doubled", "dense"), ("elu", "tables"))],
    *[ill(f"off-for-good-{kind}", "dead-units", family, partial(dead, kind=kind), 80, also) for kind, family, also in (
        ("last", "tables", "saturated-output"), ("small", "tables", ""), ("below", "convolutional", ""), ("first-step", "tables", "step-too-large"), ("arms", "dense", ""))],
    *[ill(f"at-the-edge-{kind}", "saturated-units", family, partial(flat, kind=kind), 80, also) for kind, family, also in (("by-hand", "dense", ""), ("sum", "sets", ""), ("six", "tables", "dead-units signal-collapse"), ("stripes", "convolutional", "signal-collapse"))],
    *[ill(f"all-one-{kind}", "signal-collapse", family, partial(collapsed, kind=kind), 100, also) for kind, family, also in (("norm-of-one", "sets", ""), ("no-stream", "transformers from scratch", "vanishing-depth"), ("mean-of-batch", "embeddings", ""), ("posterior", "autoencoders", ""))],
    *[ill(f"clones-{kind}", "symmetric-initialisation", POOL[kind].family, partial(twins, kind=kind), 100, also) for kind, also in (("separable", ""), ("kernels", ""), ("brackets", "signal-collapse"), ("molecules", ""), ("matrix", ""), ("pendulum", ""))],
]  # fmt: skip
