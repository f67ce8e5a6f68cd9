"""Healthy generative trainings: VAEs, games, diffusion, flows, autoregressions, energies, masked autoencoders."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import each, looped

leaky = partial(nn.LeakyReLU, 0.2)


class PictureVae(nn.Module):
    """The examples' VAE: linear layers, a sigmoid, sums over pixels; or a free decoder with a weight on the divergence."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.fc1, self.fc21, self.fc22 = nn.Linear(144, 64), nn.Linear(64, 6), nn.Linear(64, 6)
        self.fc3, self.fc4 = nn.Linear(6, 64), nn.Linear(64, 144)

    def forward(self, x: Tensor) -> Tensor:
        x = (x.flatten(1) > 1).float()
        h = F.relu(self.fc1(x))
        mean, log = self.fc21(h), self.fc22(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log)
        out = torch.sigmoid(self.fc4(F.relu(self.fc3(z))))
        divergence = -0.5 * torch.sum(1 + log - mean.pow(2) - log.exp())
        return F.binary_cross_entropy(out, x, reduction="sum") + self.beta * divergence


def own_loss(model: nn.Module, batch: Any) -> Tensor:
    """The model computes its loss itself."""
    return model(batch[0])


def summed_vae(seed: int) -> Training:
    """The sum over pixels and samples with Adam, as the example has it: a large loss, and right so."""
    return Training(model := PictureVae(), tasks.shapes(seed), torch.optim.Adam(model.parameters(), 3e-3), own_loss)


def wasserstein(seed: int, clip: bool = False) -> Training:
    """WGAN: five steps of the critic for one of the generator; a penalty on its gradient, or clipped weights."""
    model = nn.ModuleDict({"generator": mlp(4, 2, 32, 2), "critic": mlp(2, 1, 32, 2, leaky)})
    kind: Any = torch.optim.RMSprop if clip else partial(torch.optim.Adam, betas=(0.0, 0.9))
    both = [kind(model["generator"].parameters(), lr=1e-3), kind(model["critic"].parameters(), lr=1e-3)]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        real = batch[0]
        fake = net["generator"](torch.randn(len(real), 4)).detach()
        loss = net["critic"](fake).mean() - net["critic"](real).mean()
        if not clip:
            mixed = (real + torch.rand(len(real), 1) * (fake - real)).requires_grad_(True)
            (slope,) = torch.autograd.grad(net["critic"](mixed).sum(), mixed, create_graph=True)
            loss = loss + 10 * (slope.norm(dim=1) - 1).square().mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        if clip:
            for p in net["critic"].parameters():
                p.data.clamp_(-0.1, 0.1)
        if number % 5 == 4:
            optimizers[0].zero_grad()
            (-net["critic"](net["generator"](torch.randn(len(real), 4))).mean()).backward()
            optimizers[0].step()
        return loss

    return Training(model, tasks.rings(seed), both, train_step=step)


def deep_game(seed: int, hinge: bool = False) -> Training:
    """DCGAN's loop: labels of ones and zeros, normal weights of 0.02; or a hinge with spectral norm."""
    generator = nn.Sequential(
        nn.ConvTranspose2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(True), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    norm: Any = nn.utils.parametrizations.spectral_norm if hinge else lambda layer: layer
    judge = nn.Sequential(
        norm(nn.Conv2d(1, 8, 4, 2, 1)),
        leaky(),
        norm(nn.Conv2d(8, 16, 4, 2, 1)),
        leaky(),
        norm(nn.Conv2d(16, 1, 3)),
        nn.Flatten(),
    )
    for layer in [*generator, *judge]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not hinge:
            nn.init.normal_(layer.weight, 0.0, 0.05)
    model = nn.ModuleDict({"generator": generator, "judge": judge})
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
    both = [adam(generator.parameters()), adam(judge.parameters())]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        real = (batch[0] / 2).clamp(-1, 1)
        net["judge"].zero_grad()
        fake = net["generator"](torch.randn(len(real), 8, 1, 1))
        said, lied = net["judge"](real), net["judge"](fake.detach())
        loss = (
            F.relu(1 - said).mean() + F.relu(1 + lied).mean()
            if hinge
            else F.softplus(-said).mean() + F.softplus(lied).mean()
        )
        loss.backward()
        optimizers[1].step()
        net["generator"].zero_grad()
        said = net["judge"](fake)
        (-said.mean() if hinge else F.softplus(-said).mean()).backward()
        optimizers[0].step()
        return loss

    return Training(model, tasks.shapes(seed, 16), both, train_step=step)


class Denoiser(nn.Module):
    """A convolutional net that is told the step of the noise by sines."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.inside, self.time = (
            nn.Conv2d(1, width, 3, padding=1),
            nn.Sequential(nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width)),
        )
        self.mid, self.norm, self.outside = (
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.Conv2d(width, 1, 3, padding=1),
        )
        nn.init.zeros_(self.outside.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] / 100 ** (torch.arange(4) / 4)
        h = self.inside(x) + self.time(torch.cat((angles.sin(), angles.cos()), 1))[..., None, None]
        return self.outside(F.silu(h + self.mid(F.silu(self.norm(h)))))


def noise_of(model: nn.Module, batch: Any) -> Tensor:
    """DDPM: which noise was added, at one of a hundred steps."""
    x = batch[0]
    kept = torch.cumprod(1 - torch.linspace(1e-3, 0.08, 100), 0)
    t = torch.randint(0, 100, (len(x),))
    share, noise = kept[t][:, None, None, None], torch.randn_like(x)
    return F.mse_loss(model(share.sqrt() * x + (1 - share).sqrt() * noise, t.float()), noise)


class Coupled(nn.Module):
    """RealNVP: half of the numbers scales and shifts the other half; its loss is the exact likelihood."""

    def __init__(self, layers: int = 4) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp(1, 2, 32, 1, nn.Tanh) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        logs = 0.0
        for number, net in enumerate(self.nets):
            a, b = x[:, number % 2, None], x[:, 1 - number % 2, None]
            scale, shift = net(a).chunk(2, 1)
            scale = torch.tanh(scale)
            b = b * scale.exp() + shift
            x = torch.cat((a, b) if number % 2 == 0 else (b, a), 1)
            logs = logs + scale[:, 0]
        return (0.5 * x.square().sum(1) + math.log(2 * math.pi) - logs).mean()


def blobs(seed: int) -> tasks.Batches:
    """Return points (B, 2) on a ring far from the middle."""
    x, y = tasks.rings(seed).tensors
    return tasks.Batches((3 * x + 2, y), 64, seed)


class Masked(nn.Module):
    """MADE: masked weights, so that each number is foretold from those before it; the masks are buffers."""

    def __init__(self, inputs: int = 12, width: int = 48) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(inputs, width), nn.Linear(width, inputs)
        order, middle = torch.arange(inputs), torch.arange(width) % (inputs - 1)
        self.register_buffer("mask_one", (middle[:, None] >= order[None]).float())
        self.register_buffer("mask_two", (order[:, None] > middle[None]).float())

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(F.linear(x, self.one.weight * self.mask_one, self.one.bias))
        return F.binary_cross_entropy_with_logits(F.linear(h, self.two.weight * self.mask_two, self.two.bias), x)


def bits(seed: int) -> tasks.Batches:
    """Return (B, 12) of ones and zeros that hang together."""
    x = torch.rand(1024, 3, generator=tasks.dice(seed)).gt(0.5).float().repeat_interleave(4, 1)
    return tasks.Batches((x,), 64, seed)


class MaskedCoder(nn.Module):
    """A masked autoencoder: half of the patches are replaced by a learned token and rebuilt."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch, self.token, self.place = (
            nn.Linear(16, width),
            nn.Parameter(torch.zeros(width)),
            nn.Parameter(0.02 * torch.randn(9, width)),
        )
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(width, 16)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold((x > 1).float(), 4, stride=4).transpose(1, 2)
        hidden = torch.rand(len(x), 9, 1) < 0.5
        h = torch.where(hidden, self.token, self.patch(patches)) + self.place
        return ((self.out(self.body(h)) - patches).square() * hidden).mean() * 2


def scores(model: nn.Module, batch: Any) -> Tensor:
    """Denoising score matching: the slope of the log density of noised points."""
    x = batch[0]
    sigma = 0.1 + 0.9 * torch.rand(len(x), 1)
    noise = torch.randn_like(x)
    return (sigma * model(torch.cat((x + sigma * noise, sigma), 1)) + noise).square().mean()


def energies(model: nn.Module, batch: Any) -> Tensor:
    """Noise contrastive estimation of an energy: data against a wide normal."""
    x = batch[0]
    noise = 1.5 * torch.randn_like(x)
    return F.softplus(-model(x)).mean() + F.softplus(model(noise)).mean()


def moving_book(seed: int) -> Training:
    """A code book kept as moving averages in buffers, without any gradient; the codes go straight through."""

    class Book(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = mlp(24, 4, 48, 1), mlp(4, 24, 48, 1)
            self.register_buffer("book", 0.5 * torch.randn(16, 4))

        def forward(self, x: Tensor) -> Tensor:
            z = self.encoder(x)
            chosen = torch.cdist(z, self.book).argmin(1)
            with torch.no_grad():
                for code in chosen.unique():
                    self.book[code].lerp_(z[chosen == code].mean(0), 0.1)
            q = self.book[chosen]
            return F.mse_loss(self.decoder(z + (q - z).detach()), x) + 0.25 * F.mse_loss(z, q)

    model = Book()
    return Training(model, tasks.factors(seed), torch.optim.Adam(model.parameters(), 5e-3), own_loss)


def adversarial_coder(seed: int) -> Training:
    """An adversarial autoencoder: three optimisers in turn, over shared parts."""
    model = nn.ModuleDict({"encoder": mlp(24, 4, 48, 1), "decoder": mlp(4, 24, 48, 1), "judge": mlp(4, 1, 24, 1)})
    whole = torch.optim.Adam([*model["encoder"].parameters(), *model["decoder"].parameters()], 5e-3)
    others = [
        torch.optim.Adam(model["judge"].parameters(), 1e-3),
        torch.optim.Adam(model["encoder"].parameters(), 5e-4),
    ]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        optimizers[0].zero_grad()
        rebuilt = F.mse_loss(net["decoder"](net["encoder"](x)), x)
        rebuilt.backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        real, fake = net["judge"](torch.randn(len(x), 4)), net["judge"](net["encoder"](x).detach())
        (F.softplus(-real) + F.softplus(fake)).mean().backward()
        optimizers[1].step()
        optimizers[2].zero_grad()
        F.softplus(-net["judge"](net["encoder"](x))).mean().backward()
        optimizers[2].step()
        return rebuilt

    return Training(model, tasks.factors(seed), [whole, *others], train_step=step)


def relaxed(seed: int) -> Training:
    """A discrete code by Gumbel's softmax whose temperature falls, once soft and once straight through."""
    model = nn.ModuleDict({"encoder": mlp(12, 16, 32, 1), "decoder": mlp(16, 12, 32, 1)})

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        code = F.gumbel_softmax(net["encoder"](batch[0]), tau=max(0.5, 1 - number / 100), hard=number > 40)
        loss = F.binary_cross_entropy_with_logits(net["decoder"](code), batch[0])
        loss.backward()
        optimizer.step()
        return loss

    return looped(model, bits(seed), step, "adam", 1e-2)


CASES: list[Case] = [
    healthy("vae-summed", "autoencoders", seeded(summed_vae), 80),
    *each("vae-beta", "autoencoders", partial(PictureVae, 4.0), tasks.shapes, own_loss, {"adamw": 5e-3}, 60),
    healthy("wgan-penalty", "games", seeded(wasserstein), 80, falls=False),
    healthy("wgan-clipped", "games", seeded(partial(wasserstein, clip=True)), 80, falls=False),
    healthy("dcgan", "games", seeded(deep_game), 60, falls=False),
    healthy("dcgan-hinge-spectral", "games", seeded(partial(deep_game, hinge=True)), 60, falls=False),
    healthy("adversarial-autoencoder", "games", seeded(adversarial_coder), 80),
    *each("ddpm-pictures", "diffusion", Denoiser, tasks.shapes, noise_of, {"adam": 5e-3, "adamw": 3e-3, "radam": 1e-2}, 80),
    *each("score-matching", "diffusion", partial(mlp, 3, 2, 48, 2, nn.SiLU), tasks.rings, scores, {"adam": 5e-3, "nadam": 5e-3}, 100),
    *each("realnvp", "flows", Coupled, blobs, own_loss, {"adam": 5e-3, "adamax": 1e-2}, 80),
    *each("realnvp-8", "flows", partial(Coupled, 8), blobs, own_loss, {"adamw": 3e-3}, 60),
    *each("made", "flows", Masked, bits, own_loss, {"adam": 1e-2, "nesterov": 0.3}, 60),
    *each("masked-autoencoder", "transformers from scratch", MaskedCoder, tasks.shapes, own_loss, {"adamw": 3e-3}, 120),
    *each("energy", "games", partial(mlp, 2, 1, 48, 2, nn.SiLU), tasks.rings, energies, {"adam": 1e-2}, 80),
    healthy("moving-code-book", "autoencoders", seeded(moving_book), 80),
    healthy("gumbel-code", "autoencoders", seeded(relaxed), 80),
]  # fmt: skip
