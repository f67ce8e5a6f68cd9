"""Healthy autoencoders, segmenters, graph nets, games, diffusion, physics, policies, distances."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Batches, Case, Training, grid, healthy, optimizer_of, seeded, usual
from benchmarks.doctor.losses import classify, rebuild, segment
from benchmarks.doctor.nets import Coder, Graph, UNet, cnn, mlp


def noised(model: nn.Module, batch: Any) -> Tensor:
    """Denoising diffusion on points: foretell the noise at a random level."""
    x = batch[0]
    level = torch.rand(len(x), 1)
    noise = torch.randn_like(x)
    mixed = (1 - level).sqrt() * x + level.sqrt() * noise
    return F.mse_loss(model(torch.cat((mixed, level), 1)), noise)


def flow(model: nn.Module, batch: Any) -> Tensor:
    """Flow matching from a normal to the moons."""
    x = batch[0]
    start, time = torch.randn_like(x), torch.rand(len(x), 1)
    return F.mse_loss(model(torch.cat((start + time * (x - start), time), 1)), x - start)


def physics(model: nn.Module, batch: Any) -> Tensor:
    """u'' = -u, u(0) = 0, u'(0) = 1: the gradient runs through two derivatives."""
    x = batch[0].clone().requires_grad_(True)
    u = model(x)
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    zero = torch.zeros(1, 1, requires_grad=True)
    at_zero = model(zero)
    (slope,) = torch.autograd.grad(at_zero.sum(), zero, create_graph=True)
    return (second + u).square().mean() + at_zero.square().mean() + (slope - 1).square().mean()


def line(seed: int) -> Batches:
    """Points of an interval."""
    return Batches((3 * torch.rand(512, 1, generator=data.generator(seed)),), 64, seed)


def triplet(model: nn.Module, batch: Any) -> Tensor:
    """Triplet loss over the triplets that violate the margin; without any, zero times the output."""
    x, y = batch
    z = F.normalize(model(x), dim=1, eps=1e-6)
    apart = 2 - 2 * z @ z.T
    equal = y[:, None] == y[None]
    short = apart[:, :, None] - apart[:, None, :] + 0.2
    broken = short[equal[:, :, None] & ~equal[:, None, :] & (short > 0)]
    return broken.sum() / (len(x) * 40) if len(broken) else 0.0 * z.sum()


def contrast(model: nn.Module, batch: Any) -> Tensor:
    """Two noisy views of a sample find each other among the batch."""
    x = batch[0]
    one = F.normalize(model(x + 0.3 * torch.randn_like(x)), dim=1)
    two = F.normalize(model(x + 0.3 * torch.randn_like(x)), dim=1)
    return F.cross_entropy(one @ two.T / 0.2, torch.arange(len(x)))


def game(seed: int, smooth: bool = False, rate: float = 1e-3) -> Training:
    """A GAN on the moons: two players, two optimisers, each with its own gradients."""
    act = partial(nn.LeakyReLU, 0.2)
    model = nn.ModuleDict({"generator": mlp(4, 2, 32, 2), "judge": mlp(2, 1, 32, 2, act)})
    players = [
        torch.optim.Adam(model["generator"].parameters(), rate, betas=(0.5, 0.999)),
        torch.optim.Adam(model["judge"].parameters(), 2 * rate, betas=(0.5, 0.999)),
    ]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        real = batch[0]
        fake = net["generator"](torch.randn(len(real), 4))
        optimizers[1].zero_grad()
        if smooth:
            loss = (net["judge"](real) - 0.9).square().mean() + net["judge"](fake.detach()).square().mean()
        else:
            loss = (F.softplus(-net["judge"](real)) + F.softplus(net["judge"](fake.detach()))).mean()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        said = net["judge"](fake)
        (((said - 0.9).square() if smooth else F.softplus(-said)).mean()).backward()
        optimizers[0].step()
        return loss

    return Training(model, data.moons(seed), players, train_step=step)


def policy(seed: int, critic: bool = False) -> Training:
    """REINFORCE on a contextual bandit, with a mean or a learned baseline."""
    model = nn.ModuleDict({"actor": mlp(12, 4, 32, 2, nn.Tanh), "critic": mlp(12, 1, 32, 1, nn.Tanh)})
    if not critic:
        del model["critic"]

    def loss(net: Any, batch: Any) -> Tensor:
        x, y = batch
        chances = torch.distributions.Categorical(logits=net["actor"](x))
        action = chances.sample()
        reward = (action == y).float()
        worth = net["critic"](x)[:, 0] if critic else reward.mean()
        gain = reward - (worth.detach() if critic else worth)
        value = -(chances.log_prob(action) * gain).mean() - 0.01 * chances.entropy().mean()
        return value + 0.5 * (worth - reward).square().mean() if critic else value

    batches = data.table(seed, classes=4)
    return Training(model, batches, optimizer_of("adam", model.parameters(), 5e-3), loss)


def q_learning(seed: int) -> Training:
    """Q values of a bandit against a target network that follows slowly and never has a gradient."""
    model = nn.ModuleDict({"online": mlp(12, 4, 32, 2), "target": mlp(12, 4, 32, 2).requires_grad_(False)})
    model["target"].load_state_dict(model["online"].state_dict())

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        action = torch.randint(0, 4, y.shape)
        reward = (action == y).float() + 0.5 * net["target"](x).amax(1)
        optimizer.zero_grad()
        value = F.smooth_l1_loss(net["online"](x).gather(1, action[:, None])[:, 0], reward)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for new, old in zip(net["online"].parameters(), net["target"].parameters(), strict=True):
                old.lerp_(new, 0.05)
        return value

    return Training(
        model, data.table(seed, classes=4), optimizer_of("adam", model["online"].parameters(), 3e-3), train_step=step
    )


def byol(seed: int) -> Training:
    """A student foretells a teacher that is its own moving average."""
    model = nn.ModuleDict(
        {
            "student": mlp(64, 16, 64, 2, norm=nn.BatchNorm1d),
            "teacher": mlp(64, 16, 64, 2, norm=nn.BatchNorm1d),
            "guess": mlp(16, 16, 32, 1),
        }
    )
    model["teacher"].load_state_dict(model["student"].state_dict())
    model["teacher"].requires_grad_(False)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        optimizer.zero_grad()
        guess = net["guess"](net["student"](x + 0.2 * torch.randn_like(x)))
        with torch.no_grad():
            wanted = net["teacher"](x + 0.2 * torch.randn_like(x))
        value = 1 - F.cosine_similarity(guess, wanted, dim=1).mean()
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for new, old in zip(net["student"].parameters(), net["teacher"].parameters(), strict=True):
                old.lerp_(new, 0.02)
        return value

    return Training(model, data.digits(seed), optimizer_of("adam", model.parameters(), 2e-3), train_step=step)


grey = partial(data.pictures, side=8, channels=1, size=32)

CASES: list[Case] = [
    *grid("autoencoder", "autoencoders", Coder, data.digits, rebuild, {"adam": 3e-3, "sgd": 0.2, "rmsprop": 2e-3}),
    *grid("autoencoder-tanh", "autoencoders", partial(Coder, act=nn.Tanh), data.digits, rebuild, {"adam": 3e-3}),
    *grid("vae", "autoencoders", partial(Coder, noisy=True), data.digits, rebuild, {"adam": 3e-3, "adamw": 5e-3}),
    *grid("unet", "u-nets", UNet, data.discs, segment, {"adam": 3e-3, "sgd": 0.1}),
    *grid("unet-no-norm", "u-nets", partial(UNet, norm=False), data.discs, segment, {"adam": 3e-3}),
    *grid("graph", "graph nets", Graph, data.graphs, classify, {"adam": 1e-2, "rmsprop": 5e-3}),
    *grid("graph-3", "graph nets", partial(Graph, depth=3), data.graphs, classify, {"adamw": 1e-2}),
    *grid("cnn", "convolutional", cnn, grey, classify, {"sgd": 0.03, "adam": 3e-3, "rmsprop": 1e-3}),
    *grid("cnn-no-norm", "convolutional", partial(cnn, norm=False), grey, classify, {"adam": 5e-3}),
    *grid("cnn-leaky-4", "convolutional", partial(cnn, depth=4, act=nn.LeakyReLU), grey, classify, {"adam": 3e-3}),
    *grid("diffusion", "diffusion", partial(mlp, 3, 2, 48, 3, nn.SiLU), data.moons, noised, {"adam": 5e-3, "adamw": 5e-3}, 100),
    *grid("flow-matching", "diffusion", partial(mlp, 3, 2, 48, 3, nn.SiLU), data.moons, flow, {"adam": 5e-3}),
    *grid("physics-tanh", "physics-informed", partial(mlp, 1, 1, 32, 3, nn.Tanh), line, physics, {"adam": 3e-3, "rmsprop": 1e-3}),
    *grid("metric-triplet", "metric learning", partial(mlp, 64, 8, 64, 2), partial(data.digits, size=32), triplet, {"adam": 2e-3, "sgd": 0.05}),
    *grid("metric-contrast", "metric learning", partial(mlp, 64, 16, 64, 2), data.digits, contrast, {"adam": 2e-3}),
    healthy("gan", "games", seeded(game), 80, falls=False),
    healthy("gan-least-squares", "games", seeded(partial(game, smooth=True)), 80, falls=False),
    healthy("gan-slow", "games", seeded(partial(game, rate=3e-4)), 80, falls=False),
    healthy("policy-gradient", "reinforcement", seeded(policy), 80, falls=False),
    healthy("actor-critic", "reinforcement", seeded(partial(policy, critic=True)), 80, falls=False),
    healthy("q-learning", "reinforcement", seeded(q_learning), 80, falls=False),
    healthy("byol", "metric learning", seeded(byol), 60),
    healthy("cnn-dropout", "convolutional", usual(lambda: nn.Sequential(*cnn()[:-1], nn.Dropout(0.3), nn.Linear(128, 4)), grey, classify, "adam", 3e-3)),
]  # fmt: skip
