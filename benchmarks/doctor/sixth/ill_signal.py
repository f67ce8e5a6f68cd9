"""Ill in depth: gradients that vanish or explode from layer to layer, and units that are off for good."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs
from benchmarks.doctor.sixth.parts_a import ce, copies, dice, fit, keep, mlp, mse, rows, signals, stripes

CASES: list[Case] = []


@keep(CASES, "twenty-bare-convolutions", "vanishing-depth", "convolutional", 60, "signal-collapse")
def bare(seed: int, ill: bool) -> Training:
    """github.com/jsboige/CoursIA/pull/14204: bare convolutions one after another; the first gets 2e-8 of the last.

    Cure, as there: h + conv(act(norm(h))).
    """

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.act = nn.Identity() if ill else nn.GroupNorm(2, 8), nn.ReLU()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Any:
            return self.act(self.conv(x)) if ill else x + self.conv(self.act(self.norm(x)))

    body = [Block() for _ in range(16)]
    net = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), *body, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))
    return fit(net, rows(seed, *stripes(seed), size=16), ce, "adam", 2e-3)


@keep(CASES, "weights-of-a-dcgan", "vanishing-depth", "autoencoders", 120, "signal-collapse")
def dcgan(seed: int, ill: bool) -> Training:
    """The `weights_init` of DCGAN, normal(0, 0.02), is for layers with a batch norm behind them; here there is none.

    After github.com/facebookresearch/meshtalk/issues/35: gradients of 1e-10 in the encoder, and every output the
    template. LeakyReLU of 0.2 as there. Cure: Xavier's deviation.
    """
    net = mlp(64, 96, 96, 96, 12, 96, 96, 64, act=lambda: nn.LeakyReLU(0.2))
    for each in net.modules():
        if isinstance(each, nn.Linear):
            nn.init.normal_(each.weight, 0.0, 0.02) if ill else nn.init.xavier_normal_(each.weight)
            nn.init.zeros_(each.bias)
    return fit(net, rows(seed, digits(seed).tensors[0]), copies, "sgd", 0.05)


@keep(CASES, "sigmoids-to-the-code-and-back", "vanishing-depth", "autoencoders", 150, "signal-collapse")
def sigmoids(seed: int, ill: bool) -> Training:
    """An autoencoder with a sigmoid after every layer gives the mean picture for every digit.

    After ai.stackexchange.com/questions/16557: each sigmoid lets a quarter through, at most. Cure: ELU within.
    """
    act = nn.Sigmoid if ill else nn.ELU
    x = digits(seed).tensors[0]
    x = (x - x.min()) / (x.max() - x.min())
    net = nn.Sequential(mlp(64, 128, 64, 32, 64, 128, 64, act=act), nn.Sigmoid())
    return fit(net, rows(seed, x), copies, "adam", 2e-3)


@keep(CASES, "two-hundredths-was-the-mean", "exploding-depth", "dense", 120)
def mean(seed: int, ill: bool) -> Training:
    """nn.init.normal_(weight, 0.02): the second argument is the mean; the deviation is 1. Seven layers of 64.

    As in github.com/Pavan-Kumar-Z/GEN-AI (init_scale=1.0 in a deep ReLU net); losses begin at 1e10.
    """
    net = mlp(10, 64, 64, 64, 64, 64, 3)
    for each in net.modules():
        if isinstance(each, nn.Linear):
            nn.init.normal_(each.weight, *((0.02,) if ill else (0.0, (2 / each.in_features) ** 0.5)))
            nn.init.zeros_(each.bias)
    return fit(net, rows(seed, *signals(seed)), mse, "adam", 3e-3)


@keep(CASES, "shortcut-twice", "exploding-depth", "mixers", 60)
def shortcut(seed: int, ill: bool) -> Training:
    """Each block returns x + f(norm(x)); the loop over the blocks adds x again: the sum doubles with every block."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.net = nn.LayerNorm(32), mlp(32, 64, 32, act=nn.GELU)

        def forward(self, x: Tensor) -> Any:
            return x + self.net(self.norm(x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
            self.blocks = nn.ModuleList(Block() for _ in range(10))

        def forward(self, x: Tensor) -> Any:
            x = self.stem(x.flatten(1).unflatten(1, (16, 16)))
            for block in self.blocks:
                x = x + block(x) if ill else block(x)
            return self.head(x.mean(1))

    return fit(Mixer(), rows(seed, *stripes(seed), size=32), ce, "adam", 2e-3)


@keep(CASES, "prior-in-every-convolution", "dead-units", "detection", 100)
def prior(seed: int, ill: bool) -> Training:
    """RetinaNet's bias of -log((1 - p) / p) belongs to the last convolution; the loop gives it to every one.

    With p = 0.01 that is -4.6: no ReLU is ever on. Near to github.com/facebookresearch/dlrm/pull/358.
    """
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, 1, 1)
    )
    each: Any
    for place, each in enumerate(net):
        if isinstance(each, nn.Conv2d):
            nn.init.normal_(each.weight, 0.0, 0.01 if ill else (2 / each.weight[0].numel()) ** 0.5)
            nn.init.constant_(each.bias, -4.6 if ill or place == 4 else 0.0)  # type: ignore[arg-type]

    def loss(m: nn.Module, batch: Any) -> Any:
        return F.binary_cross_entropy_with_logits(m(batch[0]), batch[1])

    return fit(net, rows(seed, *discs(seed).tensors, size=16), loss, "adam", 2e-3)


@keep(CASES, "vgg-at-a-tenth", "dead-units", "convolutional", 60, "step-too-large")
def vgg(seed: int, ill: bool) -> Training:
    """A VGG without batch norm at the ResNet's rate, 0.1 with momentum: the loss is ln 4 from some step on."""
    layers: list[nn.Module] = []
    for a, b in ((1, 16), (16, 16), (16, 32)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 4))
    for each in net.modules():
        if isinstance(each, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
    return fit(net, rows(seed, *stripes(seed), size=16), ce, "sgd", 0.1 if ill else 0.01)


@keep(CASES, "mean-left-in-the-stream", "dead-units", "sparse dictionaries", 150, "unscaled-inputs")
def stream(seed: int, ill: bool) -> Training:
    """A sparse autoencoder of a residual stream whose mean is far larger than what varies; nobody subtracted it.

    Each latent is on for every token or for none; those for none have no gradient. Cure: x - mean before.
    """
    g = dice(seed)
    parts = F.normalize(torch.randn(48, 24, generator=g), dim=1)
    x = (torch.rand(1024, 48, generator=g) * (torch.rand(1024, 48, generator=g) < 0.08)) @ parts
    x = x / x.std()
    x = x - x.mean(0) + (12 * torch.randn(24, generator=g) if ill else 0)
    net = nn.Sequential(nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 24))

    def loss(m: Any, batch: Any) -> Any:
        code = m[1](m[0](batch[0]))
        return F.mse_loss(m[2](code), batch[0]) + 0.002 * code.sum(1).mean()

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            return float((m(x) - x).square().mean() / x.var(0).mean())

    return fit(net, rows(seed, x), loss, "adam", 3e-3, score)


@keep(CASES, "skips-without-norm", "exploding-depth", "convolutional", 60)
def naive(seed: int, ill: bool) -> Training:
    """github.com/jsboige/CoursIA/pull/14204 again: h + act(conv(h)) mends the gradient, and lets h grow."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.act = nn.Identity() if ill else nn.GroupNorm(2, 8), nn.ReLU()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)
            nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

        def forward(self, x: Tensor) -> Any:
            return x + (self.act(self.conv(x)) if ill else self.conv(self.act(self.norm(x))))

    net = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), *[Block() for _ in range(14)], nn.AdaptiveAvgPool2d(4), nn.Flatten())
    net.append(nn.Linear(128, 4))
    return fit(net, rows(seed, *stripes(seed), size=16), ce, "adam", 2e-3)
