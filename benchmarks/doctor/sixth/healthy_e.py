"""Healthy: makers of pictures, points and densities; games, losses below zero, parts that start at zero."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import moons
from benchmarks.doctor.sixth.parts_c import adam, adamw, dense, dice, down, handwriting, keeper, rows

CASES: list[Case] = []
learns = keeper(CASES)


def scattered(seed: int, count: int = 1024) -> Tensor:
    """Return points of eight clumps on a circle."""
    g = dice(seed)
    turn = torch.randint(0, 8, (count,), generator=g) * math.pi / 4
    return 2 * torch.stack([turn.cos(), turn.sin()], 1) + 0.1 * torch.randn(count, 2, generator=g)


def unlike(made: Tensor, real: Tensor) -> float:
    """Return the energy distance of two clouds."""
    return float(2 * torch.cdist(made, real).mean() - torch.cdist(made, made).mean() - torch.cdist(real, real).mean())


def judged(seed: int, real: Tensor, maker: Any, inputs: int) -> Any:
    """Return a score: how unlike the made points are to the real ones."""
    z = torch.randn(512, inputs, generator=dice(seed + 7))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return unlike(maker(z), real[:512])

    return score


@learns("game-of-squares", "games", 200, falls=False)
def squares(seed: int) -> Training:
    """Least squares between maker and judge; neither loss tells how good the points are."""
    real = scattered(seed)
    g, d = dense(8, 64, 64, 2), dense(2, 64, 64, 1, act=lambda: nn.LeakyReLU(0.2))
    net: Any = nn.ModuleDict({"g": g, "d": d})

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        fake = g(torch.randn(len(x), 8))
        loss: Tensor = 0.5 * ((d(x) - 1).square().mean() + d(fake.detach()).square().mean())
        down(optimizers[1], loss)
        down(optimizers[0], 0.5 * (d(fake) - 1).square().mean())
        return loss

    two = [adam(g, 1e-3, betas=(0.5, 0.99)), adam(d, 1e-3, betas=(0.5, 0.99))]
    return Training(net, rows(seed, real, size=128), two, train_step=step, score=judged(seed, real, g, 8))


@learns("game-with-penalty-on-real", "games", 200, falls=False)
def penalty(seed: int) -> Training:
    """Softplus losses, R1 on every fourth step: the judge's loss leaps on those, and stays near 2 ln 2 at the end."""
    real = scattered(seed)
    g, d = dense(4, 64, 64, 2, act=lambda: nn.LeakyReLU(0.2)), dense(2, 64, 64, 1, act=lambda: nn.LeakyReLU(0.2))
    net: Any = nn.ModuleDict({"g": g, "d": d})

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x = batch[0].clone().requires_grad_(number % 4 == 0)
        out = d(x)
        loss = F.softplus(-out).mean() + F.softplus(d(g(torch.randn(len(x), 4)).detach())).mean()
        if number % 4 == 0:
            slope = torch.autograd.grad(out.sum(), x, create_graph=True)[0]
            loss = loss + 4 * 0.05 * slope.square().sum(1).mean()
        down(optimizers[1], loss)
        down(optimizers[0], F.softplus(-d(g(torch.randn(len(x), 4)))).mean())
        return loss

    two = [adam(g, 1e-3, betas=(0.0, 0.99)), adam(d, 2e-3, betas=(0.0, 0.99))]
    return Training(net, rows(seed, real, size=128), two, train_step=step, score=judged(seed, real, g, 4))


class Codes(nn.Module):
    """A book of 24 codes that learns by gradients; the encoder's come straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = dense(64, 64, 4 * 6), dense(4 * 6, 64, 64)
        self.book = nn.Embedding(24, 6)
        nn.init.uniform_(self.book.weight, -0.3, 0.3)

    def forward(self, x: Tensor) -> Any:
        z = self.enc(x.flatten(1)).view(-1, 6)
        near = self.book(torch.cdist(z.detach(), self.book.weight.detach()).argmin(1))
        again = self.dec((z + (near - z).detach()).view(-1, 24))
        return F.mse_loss(again, x.flatten(1)) + F.mse_loss(near, z.detach()) + 0.25 * F.mse_loss(z, near.detach())


@learns("code-book-straight-through", "autoencoders", 150)
def codes(seed: int) -> Training:
    """Most codes are idle in a step, some for ever; their gradient is zero."""
    net = Codes()
    return Training(net, rows(seed, handwriting()[0]), adam(net, 3e-3), lambda m, b: m(b[0]))


class Conditional(nn.Module):
    """A variational autoencoder that is told the class."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = dense(74, 96, 12), dense(16, 96, 64)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        x, hot = x.flatten(1), F.one_hot(y, 10).float()
        mu, log = self.enc(torch.cat([x, hot], 1)).chunk(2, 1)
        z = mu + torch.randn_like(mu) * (log / 2).exp()
        out = self.dec(torch.cat([z, hot], 1))
        kl = 0.5 * (mu.square() + log.exp() - 1 - log).sum(1)
        return (F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(1) + F.relu(kl - 2.0)).mean()


@learns("told-the-class-free-bits", "autoencoders", 150)
def conditional(seed: int) -> Training:
    """Free bits: as long as the divergence is below two its gradient is nothing. Grey pixels keep the entropy high."""
    net = Conditional()
    return Training(net, rows(seed, *handwriting()), adam(net, 3e-3), lambda m, b: m(*b))


class Masked(nn.Linear):
    """A linear layer of which some weights are held at zero."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, mask: Tensor) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Any:
        return F.linear(x, self.weight * self.mask, self.bias)


class Autoregressive(nn.Module):
    """A flow of two steps, each a masked net that gives shift and scale of a number by those before it."""

    def __init__(self, d: int = 4, width: int = 48) -> None:
        super().__init__()
        order, hidden = torch.arange(d), torch.arange(width) % (d - 1)
        ins, outs = (hidden[:, None] >= order).float(), (order[:, None] > hidden).float().repeat(2, 1)
        self.steps = nn.ModuleList(
            nn.Sequential(Masked(d, width, ins), nn.Tanh(), Masked(width, 2 * d, outs)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Any:
        grown = torch.zeros(len(x))
        for net in self.steps:
            shift, scale = net(x).chunk(2, 1)
            x = ((x - shift) * (-scale).exp()).flip(1)
            grown = grown - scale.sum(1)
        return (0.5 * x.square().sum(1) + 2 * math.log(2 * math.pi) - grown).mean()


@learns("masked-flow-below-zero", "flows", 200)
def masked(seed: int) -> Training:
    """The loss becomes negative, since a density may exceed one (ai.stackexchange.com/questions/17790)."""
    a = scattered(seed) / 3
    x = torch.cat([a, a.square() + 0.02 * torch.randn(a.shape, generator=dice(seed + 3))], 1)
    net = Autoregressive()
    return Training(net, rows(seed, x, size=128), adam(net, 5e-3), lambda m, b: m(b[0]))


class Denoiser(nn.Module):
    """Two residual blocks told the time; the last layers of all start at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.time = nn.Conv2d(1, 24, 3, padding=1), dense(1, 24, 48, act=nn.SiLU)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(4, 24), nn.SiLU(), nn.Conv2d(24, 24, 3, padding=1)) for _ in range(2)
        )
        self.outs = nn.ModuleList(nn.Conv2d(24, 24, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(24, 1, 3, padding=1)
        for layer in [*self.outs, self.last]:
            for p in layer.parameters():
                nn.init.zeros_(p)

    def forward(self, x: Tensor, t: Tensor) -> Any:
        h, (scale, shift) = self.into(x), self.time(t[:, None])[..., None, None].chunk(2, 1)
        for block, out in zip(self.blocks, self.outs, strict=True):
            h = h + out(F.silu(block(h) * (1 + scale) + shift))
        return self.last(F.silu(h))


@learns("diffusion-of-digits-zeroed", "diffusion", 150)
def diffusion(seed: int) -> Training:
    """At the first step only the last layer has a gradient (github.com/konpatp/diffae/issues/64)."""
    x, _ = handwriting()
    net = Denoiser()

    def loss(model: nn.Module, batch: Any) -> Any:
        t = torch.rand(len(batch[0]))
        a, noise = torch.cos(t * math.pi / 2)[:, None, None, None], torch.randn_like(batch[0])
        return F.mse_loss(model(a * batch[0] + (1 - a * a).sqrt() * noise, t), noise)

    return Training(net, rows(seed, 2 * x - 1, size=32), adamw(net, 3e-3), loss)


@learns("mixture-of-gaussians-head", "densities", 200)
def mixture(seed: int) -> Training:
    """Cloned behaviour by a mixture's likelihood, negative when good (github.com/robocasa/robocasa/issues/163)."""
    g = dice(seed)
    x = torch.rand(1024, 1, generator=g) * 2 - 1
    side = torch.randint(0, 2, (1024, 1), generator=g) * 2.0 - 1
    y = side * (0.3 + 0.5 * x.square()) + 0.03 * torch.randn(1024, 1, generator=g)
    net = dense(1, 48, 48, 15, act=nn.Tanh)

    def loss(model: nn.Module, batch: Any) -> Any:
        share, mean, log = model(batch[0]).chunk(3, 1)
        parts = torch.distributions.Normal(mean, F.softplus(log) + 1e-3).log_prob(batch[1])
        return -(share.log_softmax(1) + parts).logsumexp(1).mean()

    return Training(net, rows(seed, x, y, size=128), adam(net, 5e-3), loss)


@learns("score-of-noisy-points", "densities", 150)
def noisy(seed: int) -> Training:
    """Denoising score matching at many widths, weighted by the square; much of the loss can never go away."""
    net = dense(3, 96, 96, 2, act=nn.SiLU)

    def loss(model: nn.Module, batch: Any) -> Any:
        wide = torch.exp(torch.rand(len(batch[0]), 1) * 3 - 1.5)
        noise = torch.randn_like(batch[0])
        return (model(torch.cat([batch[0] + wide * noise, wide.log()], 1)) + noise).square().sum(1).mean()

    return Training(net, rows(seed, scattered(seed), size=128), adam(net, 3e-3), loss)


@learns("energy-by-contrast", "densities", 150, falls=False)
def energy(seed: int) -> Training:
    """An energy model with Langevin's samples: the loss hovers around zero, as it should."""
    real = moons(seed).tensors[0]
    net = dense(2, 64, 64, 1, act=nn.SiLU)
    kept = torch.rand(64, 2) * 4 - 2

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal kept
        fresh = torch.rand(64, 1) < 0.1
        x = torch.where(fresh, torch.rand(64, 2) * 4 - 2, kept).requires_grad_(True)
        for _ in range(6):
            slope = torch.autograd.grad(model(x).sum(), x)[0]
            x = (x - 0.1 * slope + 0.05 * torch.randn_like(x)).detach().requires_grad_(True)
        kept = x.detach()
        good, bad = model(batch[0]), model(kept)
        return down(optimizer, good.mean() - bad.mean() + 0.1 * (good.square().mean() + bad.square().mean()))

    far = torch.rand(512, 2, generator=dice(seed)) * 4 - 2

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(real) > model(far)[: len(real)]).float().mean())

    return Training(net, rows(seed, real), adam(net, 2e-3), train_step=step, score=score)


@learns("digits-by-evidence-bound-annealed", "autoencoders", 150, falls=False)
def annealed(seed: int) -> Training:
    """The divergence's weight grows from nothing to four: the loss falls first and rises later."""
    x, _ = handwriting()
    enc, dec = dense(64, 64, 16, act=nn.SiLU), dense(8, 64, 64, act=nn.SiLU)
    net: Any = nn.ModuleDict({"enc": enc, "dec": dec})

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        flat = batch[0].flatten(1)
        mu, log = model["enc"](flat).chunk(2, 1)
        again = model["dec"](mu + torch.randn_like(mu) * (log / 2).exp())
        kl = 0.5 * (mu.square() + log.exp() - 1 - log).sum(1).mean()
        entropy = F.binary_cross_entropy_with_logits(again, flat, reduction="none").sum(1).mean()
        return down(optimizer, entropy + 4 * max(0.0, number / 75 - 1) * kl)

    def score(model: Any) -> float:
        with torch.no_grad():
            flat = x[:512].flatten(1)
            return float(F.mse_loss(model["dec"](model["enc"](flat)[:, :8]).sigmoid(), flat))

    return Training(net, rows(seed, x), adam(net, 3e-3), train_step=step, score=score)
