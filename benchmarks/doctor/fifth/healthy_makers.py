"""Healthy: what makes things up: autoencoders, games, diffusion, flows."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, moons
from benchmarks.doctor.fifth.healthy_lessons import unit_digits
from benchmarks.doctor.fifth.healthy_parts import by, dense, down, follow, named, own, plain
from benchmarks.doctor.fourth.data import rings, scenes


class VAE(nn.Module):
    """The autoencoder of PyTorch's examples, for small digits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(64, 100), nn.Linear(100, 8), nn.Linear(100, 8)
        self.fc3, self.fc4 = nn.Linear(8, 100), nn.Linear(100, 64)

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def parts(model: nn.Module, x: Tensor) -> Any:
    """Return entropy and divergence, summed as in the example."""
    again, mu, logvar = model(x)
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return F.binary_cross_entropy(again, x, reduction="sum"), kl


def summed(model: nn.Module, batch: Any) -> Tensor:
    """The example's loss: a sum over pixels and samples, so thousands; the divergence rises (pytorch/examples#631)."""
    entropy, kl = parts(model, batch[0])
    value: Tensor = entropy + kl
    return value


def annealed(seed: int) -> Training:
    """The divergence's weight rises from nothing to 2: it grows first (facebookresearch/improved_vrnn#4)."""
    model = VAE()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        entropy, kl = parts(net, batch[0])
        return down(optimizer, (entropy + min(2.0, number / 40) * kl) / len(batch[0]))

    return Training(model, unit_digits(seed, 64), by("adam", model.parameters(), 3e-3), train_step=step)


class Noise(nn.Module):
    """Foretells the noise in a point, given how much of it there is, by sines of the time."""

    pace: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pace", torch.exp(-torch.arange(8) * math.log(1e3) / 8))
        self.net = dense(18, 2, 96, nn.SiLU, 3)

    def forward(self, x: Tensor, t: Tensor) -> Any:
        angle = t[:, None] * self.pace
        return self.net(torch.cat([x, angle.sin(), angle.cos()], 1))


def diffusion(seed: int) -> Training:
    """DDPM on points; the loss jumps with the time drawn, normal (huawei-noah/Speech-Backbones#13)."""
    model = Noise()
    slow, kept = copy.deepcopy(model).requires_grad_(False), torch.linspace(1e-4, 0.1, 100)
    left = (1 - kept).cumprod(0)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, t = batch[0], torch.randint(0, 100, (len(batch[0]),))
        noise, a = torch.randn_like(x), left[t][:, None]
        loss = F.mse_loss(net(a.sqrt() * 2 * x + (1 - a).sqrt() * noise, t.float()), noise)
        down(optimizer, loss)
        follow(slow, net, 0.99)
        return loss

    return Training(model, moons(seed, 128), by("adam", model.parameters(), 2e-3), train_step=step)


def straight(seed: int) -> Training:
    """Flow matching: the speed on a straight line from noise to point."""
    model = dense(3, 2, 96, nn.GELU, 3)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, noise, t = 2 * batch[0], torch.randn_like(batch[0]), torch.rand(len(batch[0]), 1)
        return down(optimizer, F.mse_loss(net(torch.cat([t * x + (1 - t) * noise, t], 1)), x - noise))

    return Training(model, rings(seed, 128), by("adamw", model.parameters(), 3e-3), train_step=step)


def dcgan_parts() -> Any:
    """Return maker and judge with DCGAN's weights of 0.02; the maker ends in tanh."""
    g = nn.Sequential(
        nn.ConvTranspose2d(16, 32, 4, bias=False), nn.BatchNorm2d(32), nn.ReLU(True),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
        nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    d = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True),
        nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2, True),
        nn.Conv2d(32, 1, 4, bias=False), nn.Flatten(),
    )  # fmt: skip
    for module in [*g, *d]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return g, d


def dcgan(seed: int) -> Training:
    """DCGAN's lesson: the judge's loss falls and the maker's rises, normal (Vandermode/ERRNet#30)."""
    g, d = dcgan_parts()
    model: Any = nn.ModuleDict({"G": g, "D": d})
    bce = F.binary_cross_entropy_with_logits

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        one, two = optimizers
        real, n = 2 * batch[0] - 1, len(batch[0])
        m["D"].zero_grad()
        good = bce(m["D"](real), torch.ones(n, 1))
        good.backward()
        fake = m["G"](torch.randn(n, 16, 1, 1))
        bad = bce(m["D"](fake.detach()), torch.zeros(n, 1))
        bad.backward()
        two.step()
        m["G"].zero_grad()
        loss = bce(m["D"](fake), torch.ones(n, 1))
        loss.backward()
        one.step()
        return good.detach() + bad.detach()

    return Training(model, scenes(seed), [by("adam-half", net.parameters(), 2e-4) for net in (g, d)], train_step=step)


def penalised(seed: int) -> Training:
    """WGAN with a penalty on the gradient, five steps of the critic for one of the maker."""
    model: Any = nn.ModuleDict({"maker": dense(4, 2, 48), "critic": dense(2, 1, 48, nn.LeakyReLU)})
    betas = {"betas": (0.0, 0.9)}
    one, two = (by("adam", model[name].parameters(), 1e-3, **betas) for name in ("maker", "critic"))

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Any:
        real, n = batch[0], len(batch[0])
        fake = m["maker"](torch.randn(n, 4)).detach()
        share = torch.rand(n, 1)
        between = (share * real + (1 - share) * fake).requires_grad_(True)
        slope = torch.autograd.grad(m["critic"](between).sum(), between, create_graph=True)[0]
        loss = m["critic"](fake).mean() - m["critic"](real).mean() + 10 * (slope.norm(2, 1) - 1).square().mean()
        down(optimizers[1], loss)
        if number % 5 == 4:
            down(optimizers[0], -m["critic"](m["maker"](torch.randn(n, 4))).mean())
        return loss

    return Training(model, moons(seed), [one, two], train_step=step)


def hinged(seed: int) -> Training:
    """Hinge losses, a judge of spectral norms, two rates; such losses need not fall (junyanz/pytorch-CycleGAN-and-pix2pix#335)."""
    norm = nn.utils.parametrizations.spectral_norm
    judge = nn.Sequential(norm(nn.Linear(64, 64)), nn.LeakyReLU(0.1), norm(nn.Linear(64, 64)), nn.LeakyReLU(0.1),
                          norm(nn.Linear(64, 1)))  # fmt: skip
    model: Any = nn.ModuleDict({"maker": dense(12, 64, 96), "judge": judge})

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        fake = m["maker"](torch.randn(len(batch[0]), 12))
        loss = F.relu(1 - m["judge"](batch[0])).mean() + F.relu(1 + m["judge"](fake.detach())).mean()
        down(optimizers[1], loss)
        down(optimizers[0], -m["judge"](fake).mean())
        return loss

    two = [by("adam-half", model["maker"].parameters(), 1e-3), by("adam-half", model["judge"].parameters(), 4e-3)]
    return Training(model, digits(seed), two, train_step=step)


class Quantised(nn.Module):
    """A code book of 32 whose entries follow averages, not gradients; some are idle (bshall/VectorQuantizedVAE#3)."""

    book: Tensor
    size: Tensor
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = dense(64, 4 * 8, 96, nn.SiLU), dense(32, 64, 96, nn.SiLU)
        self.register_buffer("book", torch.randn(32, 8))
        self.register_buffer("size", torch.ones(32))
        self.register_buffer("sums", self.book.clone())

    def forward(self, x: Tensor) -> Any:
        z = self.encoder(x).view(-1, 8)
        near = torch.cdist(z.detach(), self.book).argmin(1)
        if self.training:
            with torch.no_grad():
                hot = F.one_hot(near, 32).float()
                self.size.mul_(0.9).add_(0.1 * hot.sum(0))
                self.sums.mul_(0.9).add_(0.1 * hot.T @ z)
                self.book.copy_(self.sums / self.size.clamp_min(1e-3)[:, None])
        code = self.book[near]
        again = self.decoder((z + (code - z).detach()).view(-1, 32))
        return F.mse_loss(again, x) + 0.25 * F.mse_loss(z, code.detach())


class Coupling(nn.Module):
    """RealNVP's layer, whose last weights are zero at first: it starts as the identity."""

    def __init__(self, flip: bool) -> None:
        super().__init__()
        self.flip, self.net = flip, dense(1, 2, 48, nn.Tanh)
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.net[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        x = x.flip(1) if self.flip else x
        scale, shift = self.net(x[:, :1]).split(1, 1)
        scale = torch.tanh(scale)
        return torch.cat([x[:, :1], x[:, 1:] * scale.exp() + shift], 1), scale[:, 0]


class RealNVP(nn.Module):
    """Six layers; the loss is a negative logarithm of a density."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(bool(n)) for n in range(6))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        grown = torch.zeros(len(x))
        z = 1.5 * x
        for layer in self.layers:
            z, scale = layer(z)
            grown = grown + scale
        return (0.5 * z.square().sum(1) - grown).mean()


class Overcomplete(nn.Module):
    """A dictionary of 256 features, most of them off, as the penalty wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(64, 256), nn.Linear(256, 64)
        with torch.no_grad():
            self.dec.weight.div_(self.dec.weight.norm(dim=0))
            self.enc.weight.copy_(self.dec.weight.T)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        f = F.relu(self.enc(x - self.dec.bias))
        return (self.dec(f) - x).square().sum(1).mean() + 0.5 * f.sum(1).mean()


class Patches(nn.Module):
    """A masked autoencoder; the places are sines in a parameter that does not learn, as in MAE."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        at = torch.arange(16.0)[:, None] * torch.exp(-torch.arange(0, d, 2) * math.log(100.0) / d)
        self.pos = nn.Parameter(torch.cat([at.sin(), at.cos()], 1), requires_grad=False)
        self.embed, self.mask_token, self.head = nn.Linear(4, d), nn.Parameter(torch.zeros(d)), nn.Linear(d, 4)
        nn.init.normal_(self.mask_token, std=0.02)
        self.enc, self.dec = (nn.TransformerEncoderLayer(d, 4, 64, 0.0, "gelu", batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        cells = x.view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        order = torch.rand(len(x), 16).argsort(1)
        back, seen = order.argsort(1), order[:, :8]
        h = self.enc(torch.gather(self.embed(cells) + self.pos, 1, seen[:, :, None].expand(-1, -1, 32)))
        h = torch.cat([h, self.mask_token.expand(len(x), 8, -1)], 1)
        h = torch.gather(h, 1, back[:, :, None].expand(-1, -1, 32)) + self.pos
        hidden = (back >= 8).float()
        return ((self.head(self.dec(h)) - cells).square().mean(2) * hidden).sum() / hidden.sum()


CASES: list[Case] = [
    plain("vae-of-the-examples", "autoencoders", VAE, lambda seed: unit_digits(seed, 64), summed, "adam", 1e-3, 80),
    named("vae-annealed", "autoencoders", annealed, 100, falls=False),
    named("diffusion-of-points", "diffusion", diffusion, 150),
    named("flow-matching", "diffusion", straight, 120),
    named("dcgan-lesson", "games", dcgan, 80, falls=False),
    named("wgan-penalty", "games", penalised, 100, falls=False),
    named("hinge-spectral", "games", hinged, 80, falls=False),
    plain("code-book-of-averages", "autoencoders", Quantised, digits, lambda m, b: m(b[0]), "adam", 2e-3, 100),
    plain("real-nvp", "flows", RealNVP, moons, own, "adam", 5e-3, 100),
    plain("sparse-dictionary", "autoencoders", Overcomplete, digits, own, "adam", 2e-3, 100),
    plain("masked-patches", "autoencoders", Patches, digits, own, "adamw", 3e-3, 120),
]  # fmt: skip
