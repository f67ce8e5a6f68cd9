"""Healthy: derivatives in the loss, equations, fixed points, nets that make nets, learning to learn, rays."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.doctor.case import Batches, Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import classify, each, looped, squared
from benchmarks.doctor.second.nets import Siren


def slope(y: Tensor, x: Tensor) -> Tensor:
    """Return dy/dx, with its graph."""
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def heat(model: nn.Module, batch: Any) -> Tensor:
    """u_t = 0.1 u_xx with a sine at the start and nothing at the ends."""
    x = batch[0].clone().requires_grad_(True)
    first = slope(model(x), x)
    second = slope(first[:, 0], x)[:, 0]
    begin = torch.stack((x[:, 0].detach(), torch.zeros(len(x))), 1)
    edge = torch.stack((torch.sign(x[:, 0].detach() - 0.5) * 0.5 + 0.5, x[:, 1].detach()), 1)
    start = (model(begin)[:, 0] - torch.sin(3.1416 * begin[:, 0])).square().mean()
    return (first[:, 1] - 0.1 * second).square().mean() + 10 * start + 10 * model(edge).square().mean()


def burgers(model: nn.Module, batch: Any) -> Tensor:
    """u_t + u u_x = 0.05 u_xx."""
    x = batch[0].clone().requires_grad_(True)
    u = model(x)
    first = slope(u, x)
    second = slope(first[:, 0], x)[:, 0]
    begin = torch.stack((x[:, 0].detach(), torch.zeros(len(x))), 1)
    rest = first[:, 1] + u[:, 0] * first[:, 0] - 0.05 * second
    return rest.square().mean() + 5 * (model(begin)[:, 0] + torch.sin(6.2832 * begin[:, 0])).square().mean()


def places(seed: int, size: int = 64) -> Batches:
    """Return (B, 2) of place and time in [0, 1]."""
    return Batches((torch.rand(1024, 2, generator=tasks.dice(seed)),), size, seed)


def pendulum(seed: int, size: int = 64) -> Batches:
    """Return (B, 2) of angle and speed of a pendulum, and how they change (B, 2)."""
    x = 2 * torch.rand(1024, 2, generator=tasks.dice(seed)) - 1
    return Batches((2 * x, torch.stack((2 * x[:, 1], -torch.sin(2 * x[:, 0])), 1)), size, seed)


def hamiltonian(model: nn.Module, batch: Any) -> Tensor:
    """The net is an energy; its slopes foretell the motion."""
    x = batch[0].clone().requires_grad_(True)
    change = slope(model(x), x)
    return F.mse_loss(torch.stack((change[:, 1], -change[:, 0]), 1), batch[1])


class Flowing(nn.Module):
    """A neural ordinary differential equation, twelve steps of Euler's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stem, self.field, self.out = nn.Linear(inputs, 16), mlp(16, 16, 32, 1, nn.Tanh), nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for _ in range(12):
            h = h + self.field(h) / 12
        return self.out(h)


class Settled(nn.Module):
    """A deep equilibrium: iterate without graph until it settles, then once more with it."""

    def __init__(self, inputs: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.inject, self.cell, self.out = (
            nn.Linear(inputs, width),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, outputs),
        )
        nn.init.orthogonal_(self.cell.weight, 0.6)

    def forward(self, x: Tensor) -> Tensor:
        u = self.inject(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(15):
                z = torch.tanh(self.cell(z) + u)
        return self.out(torch.tanh(self.cell(z) + u))


class Hyper(nn.Module):
    """A net that makes another one's weights from half of the columns."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = mlp(12, 12 * 8 + 8 * 4, 32, 1)
        with torch.no_grad():
            self.maker[-1].weight.mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        made = self.maker(x[:, :12])
        one, two = made[:, :96].view(-1, 8, 12), made[:, 96:].view(-1, 4, 8)
        return (two @ torch.tanh(one @ x[:, 12:, None]))[..., 0]


class Encoded(nn.Module):
    """A NeRF's coordinate net: sines and cosines of many lengths, then ReLUs with a skip."""

    def __init__(self, octaves: int = 4, width: int = 48) -> None:
        super().__init__()
        self.octaves = octaves
        inputs = 2 + 4 * octaves
        self.one, self.two, self.three = (
            nn.Linear(inputs, width),
            nn.Linear(width, width),
            nn.Linear(width + inputs, width),
        )
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        waves = [f(2.0**n * x) for n in range(self.octaves) for f in (torch.sin, torch.cos)]
        e = torch.cat((x, *waves), -1)
        h = F.relu(self.two(F.relu(self.one(e))))
        return self.out(F.relu(self.three(torch.cat((h, e), -1))))


class Rendered(nn.Module):
    """Density and colour along a ray, added up behind one another, as in NeRF."""

    def __init__(self) -> None:
        super().__init__()
        self.field = mlp(10, 2, 32, 2)

    def forward(self, rays: Tensor) -> Tensor:
        t = torch.linspace(0.0, 1.0, 12)
        points = rays[:, None, :2] + t[None, :, None] * (rays[:, None, 2:] - rays[:, None, :2])
        waves = torch.cat([points] + [f(2.0**n * points) for n in (0, 1) for f in (torch.sin, torch.cos)], -1)
        density, colour = self.field(waves).unbind(-1)
        opaque = 1 - torch.exp(-F.softplus(density) * 0.4)
        passed = torch.cumprod(torch.cat((torch.ones(len(rays), 1), 1 - opaque[:, :-1] + 1e-10), 1), 1)
        return (passed * opaque * torch.sigmoid(colour)).sum(1, keepdim=True)


def rays(seed: int) -> Batches:
    """Return rays (B, 4) and how bright they are (B, 1): a disc in the middle stops them."""
    ends = 2 * torch.rand(1024, 4, generator=tasks.dice(seed)) - 1
    middle = (ends[:, :2] + ends[:, 2:]) / 2
    return Batches((ends, (middle.norm(dim=1, keepdim=True) < 0.4).float()), 64, seed)


def sine_task(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return one sine of MAML's article: twenty points, ten to learn from."""
    high, phase = 0.5 + torch.rand(1, generator=generator), 3 * torch.rand(1, generator=generator)
    x = 6 * torch.rand(20, 1, generator=generator) - 3
    return x, high * torch.sin(x + phase)


def learns_to_learn(seed: int, first_order: bool = False) -> Training:
    """MAML: one inner step with its graph (or without, first order), four tasks per outer step."""
    model = mlp(1, 1, 32, 2)
    generator = tasks.dice(seed)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for _ in range(4):
            x, y = sine_task(generator)
            weights = dict(net.named_parameters())
            inner = F.mse_loss(functional_call(net, weights, (x[:10],)), y[:10])
            slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=not first_order)
            moved = {name: w - 0.05 * s for (name, w), s in zip(weights.items(), slopes, strict=True)}
            total = total + F.mse_loss(functional_call(net, moved, (x[10:],)), y[10:]) / 4
        total.backward()
        optimizer.step()
        return total

    return looped(model, places(seed), step, "adam", 5e-3)


def reptile(seed: int) -> Training:
    """Reptile: a few steps on one task, then the slow weights go a part of the way; the optimiser knows the fast ones."""
    model = mlp(1, 1, 32, 2, nn.Tanh)
    generator = tasks.dice(seed)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = sine_task(generator)
        slow = [p.detach().clone() for p in net.parameters()]
        loss = torch.zeros(())
        for _ in range(3):
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for p, old in zip(net.parameters(), slow, strict=True):
                p.copy_(old + 0.5 * (p - old))
        return loss

    return looped(model, places(seed), step, "plain", 0.05)


def penalised(model: nn.Module, batch: Any) -> Tensor:
    """Double back-propagation: the slope of the loss by the input is kept small."""
    x = batch[0].clone().requires_grad_(True)
    loss = F.cross_entropy(model(x), batch[1])
    return loss + 0.1 * slope(loss * len(x), x).square().sum(1).mean()


def smooth(model: nn.Module, batch: Any) -> Tensor:
    """Value and slope are both fitted (Sobolev training)."""
    x = batch[0].clone().requires_grad_(True)
    y = model(x)
    wanted = torch.stack((torch.cos(x[:, 0]), -torch.sin(x[:, 1])), 1).detach()
    truth = (torch.sin(x[:, 0]) + torch.cos(x[:, 1])).detach()[:, None]
    return F.mse_loss(y, truth) + F.mse_loss(slope(y, x), wanted)


CASES: list[Case] = [
    *each("pinn-heat", "physics-informed", partial(mlp, 2, 1, 32, 3, nn.Tanh), places, heat, {"adam": 5e-3, "nadam": 3e-3}, 80),
    *each("pinn-burgers", "physics-informed", partial(mlp, 2, 1, 32, 3, nn.Tanh), places, burgers, {"adam": 1e-2}, 100),
    *each("pinn-siren", "physics-informed", partial(Siren, 2, 32, 2, 3.0), places, heat, {"adam": 3e-3}, 80),
    *each("hamiltonian", "physics-informed", partial(mlp, 2, 1, 32, 2, nn.Softplus), pendulum, hamiltonian, {"adam": 1e-2}, 80),
    *each("sobolev", "physics-informed", partial(mlp, 2, 1, 32, 2, nn.Tanh), pendulum, smooth, {"adamw": 1e-2}, 60),
    *each("double-backward", "closures", partial(mlp, 24, 4, 48, 2), tasks.factors, penalised, {"nesterov": 0.03}, 60),
    *each("neural-ode", "implicit", partial(Flowing, 24, 4), tasks.factors, classify, {"adam": 5e-3, "sgd": 0.05}),
    *each("equilibrium", "implicit", partial(Settled, 24, 4), tasks.factors, classify, {"adam": 5e-3, "nesterov": 0.05}),
    *each("hypernetwork", "implicit", Hyper, tasks.factors, classify, {"adam": 3e-3, "adamw": 3e-3}, 80),
    *each("nerf-encoded", "coordinates", Encoded, tasks.picture, squared, {"adam": 5e-3, "radam": 1e-2}, 80),
    *each("nerf-rays", "coordinates", Rendered, rays, squared, {"adam": 1e-2}, 80),
    healthy("maml", "learning to learn", seeded(learns_to_learn), 40, falls=False),
    healthy("maml-first-order", "learning to learn", seeded(partial(learns_to_learn, first_order=True)), 50, falls=False),
    healthy("reptile", "learning to learn", seeded(reptile), 60, falls=False),
]  # fmt: skip
