"""Healthy generators, agents and physics: code books, flows, games of four, masked pixels, policies, oscillators."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import each, looped
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.tasks import Net


def code_book(width: int = 6, codes: int = 48) -> nn.Module:
    """VQ-VAE as in its article: the book learns by its own term, the gradient goes straight through; returns its loss."""

    def run(m: Any, x: Tensor) -> Tensor:
        x = 2 * x.flatten(1) - 1
        z = F.normalize(m.encoder(x), dim=1)
        code = m.book(torch.cdist(z, m.book.weight).argmin(1))
        out = m.decoder(z + (code - z).detach())
        return F.mse_loss(out, x) + F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())

    net = Net(run, encoder=mlp(64, width, 64, 1), book=nn.Embedding(codes, width), decoder=mlp(width, 64, 64, 1))
    nn.init.normal_(net.book.weight, 0, 0.4)  # type: ignore[arg-type, union-attr]
    return net


def only_x(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss of the first of the batch."""
    value: Tensor = model(batch[0])
    return value


def glow() -> nn.Module:
    """Couplings whose last layers start at zero, and linear maps between them of which the determinant counts."""

    def run(m: Any, x: Tensor) -> Tensor:
        log = torch.zeros(len(x))
        for turn, couple in zip(m.turns, m.couples, strict=True):
            x, log = x @ turn.weight, log + torch.linalg.slogdet(turn.weight)[1]
            a, b = x.chunk(2, 1)
            scale, shift = couple(a).chunk(2, 1)
            x, log = torch.cat((a, b * torch.exp(torch.tanh(scale)) + shift), 1), log + torch.tanh(scale)[:, 0]
        return (0.5 * x.square().sum(1) - log).mean() + 1

    net = Net(
        run,
        turns=nn.ModuleList(nn.Linear(2, 2, False) for _ in range(4)),
        couples=nn.ModuleList(mlp(1, 2, 32, 2, nn.ELU) for _ in range(4)),
    )
    for turn, couple in zip(net.turns, net.couples, strict=True):  # type: ignore[arg-type, union-attr]
        nn.init.orthogonal_(turn.weight)
        nn.init.zeros_(couple[-1].weight)
    return net


def masked_pixels() -> nn.Module:
    """PixelCNN: half of each kernel is masked, so that half of its weights never has a gradient."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = F.relu(F.conv2d(x, m.one.weight * m.before, m.one.bias, padding=2))
        h = h + F.relu(F.conv2d(h, m.two.weight * m.until, m.two.bias, padding=1))
        return F.binary_cross_entropy_with_logits(m.out(h), x)

    before, until = torch.zeros(5, 5), torch.zeros(3, 3)
    before.view(-1)[:12] = 1
    until.view(-1)[:5] = 1
    return Net(
        run, one=nn.Conv2d(1, 24, 5), two=nn.Conv2d(24, 24, 3), out=nn.Conv2d(24, 1, 1), before=before, until=until
    )


def importance(many: int = 8) -> nn.Module:
    """An importance weighted autoencoder on pixels; returns its loss."""

    def run(m: Any, x: Tensor) -> Tensor:
        x = x.flatten(1)
        mean, log = m.encoder(x).chunk(2, 1)
        q = torch.distributions.Normal(mean, F.softplus(log) + 1e-2)
        z = q.rsample((many,))
        near = -F.binary_cross_entropy_with_logits(m.decoder(z), x.expand(many, -1, -1), reduction="none").sum(2)
        w = near + (torch.distributions.Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(2)
        return -(w.logsumexp(0) - 2.0794).mean()

    return Net(run, encoder=mlp(64, 16, 48, 1), decoder=mlp(8, 64, 48, 1))


def annealed(seed: int) -> Training:
    """A VAE with free bits whose KL term starts at weight zero."""
    net: Any = Net(
        lambda m, x: m.encoder(x.flatten(1)).chunk(2, 1), encoder=mlp(64, 16, 48, 1), decoder=mlp(8, 64, 48, 1)
    )

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        mean, log = m(batch[0])
        out = m.decoder(mean + torch.randn_like(mean) * (0.5 * log).exp())
        kl = 0.5 * (mean.square() + log.exp() - 1 - log).mean(0).clamp(min=0.05).sum()
        loss = F.binary_cross_entropy_with_logits(out, batch[0].flatten(1)) + min(1.0, number / 60) * kl / 64
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return looped(net, tasks.mosaic(seed), step, "adam", 5e-3)


def diffused() -> nn.Module:
    """A diffusion that foretells velocity, with sine marks of time and a last layer that starts at zero."""

    def run(m: Any, x: Tensor) -> Tensor:
        t, noise = torch.rand(len(x), 1), torch.randn_like(x)
        c, s = torch.cos(1.5708 * t), torch.sin(1.5708 * t)
        marks = torch.cat([f(t * n) for n in (2, 5, 11) for f in (torch.sin, torch.cos)], 1)
        return F.mse_loss(m.net(torch.cat((c * x + s * noise, marks), 1)), c * noise - s * x)

    net: Any = Net(run, net=mlp(22, 16, 96, 2, nn.SiLU))
    nn.init.zeros_(net.net[-1].weight)
    return net


def neural_process() -> nn.Module:
    """A conditional neural process on pieces of sines: some points are seen, the others foretold; returns its loss."""

    def run(m: Any, x: Tensor) -> Tensor:
        t = torch.rand(32, 12, 1) * 4
        y = torch.sin(t + 3 * torch.rand(32, 1, 1)) * (0.5 + torch.rand(32, 1, 1))
        seen = m.each(torch.cat((t, y), 2)[:, :6]).mean(1, keepdim=True).expand(-1, 12, -1)
        mean, raw = m.guess(torch.cat((seen, t), 2)).chunk(2, 2)
        return 1.5 - torch.distributions.Normal(mean, 0.1 + 0.9 * F.softplus(raw)).log_prob(y).mean()

    return Net(run, each=mlp(2, 32, 48, 2), guess=mlp(33, 2, 48, 2))


def game(seed: int, kind: str) -> Training:
    """Relativistic critics with a penalty on the real ones (R1); or CycleGAN: two generators, two judges, one optimiser each for two."""
    two = kind == "cycle"
    model: Any = nn.ModuleDict(
        {"a": mlp(2, 2, 32, 2), "judge_a": mlp(2, 1, 32, 2, nn.LeakyReLU)}
        | ({"b": mlp(2, 2, 32, 2), "judge_b": mlp(2, 1, 32, 2, nn.LeakyReLU)} if two else {})
    )  # type: ignore[arg-type]
    makers = chain(*(model[n].parameters() for n in ("a", "b") if n in model))
    judges = chain(*(model[n].parameters() for n in ("judge_a", "judge_b") if n in model))
    pair = [torch.optim.Adam(makers, 2e-3, (0.5, 0.99)), torch.optim.Adam(judges, 2e-3, (0.0, 0.99))]

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        y = torch.randn_like(x) if not two else x.flip(1) * 0.5 + 1
        optimizers[1].zero_grad()
        with torch.no_grad():
            fake = m["a"](y)
        real = x.clone().requires_grad_(True)
        score = m["judge_a"](real)
        (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        loss = F.softplus(m["judge_a"](fake) - score).mean() + 0.1 * slope.square().sum(1).mean()
        if two:
            with torch.no_grad():
                other = m["b"](x)
            loss = loss + (m["judge_b"](y) - 1).square().mean() + m["judge_b"](other).square().mean()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        fake = m["a"](y)
        value = F.softplus(m["judge_a"](x).detach() - m["judge_a"](fake)).mean()
        if two:
            other = m["b"](x)
            value = (
                value
                + (m["judge_b"](other) - 1).square().mean()
                + 5 * (F.l1_loss(m["b"](fake), y) + F.l1_loss(m["a"](other), x))
            )
        value.backward()
        optimizers[0].step()
        return value

    return Training(model, tasks.moons(seed), pair, train_step=step)


def world_model(kind: str) -> nn.Module:
    """A pendulum's field: a network within Runge and Kutta's steps, or a known law whose numbers are learned."""

    def field(m: Any, s: Tensor) -> Tensor:
        if kind == "law":
            return torch.stack((s[:, 1], -m.pull * torch.sin(s[:, 0]) - m.rub * s[:, 1]), 1)
        return m.net(s)

    def run(m: Any, s: Tensor) -> Tensor:
        path = []
        for _ in range(8):
            a = field(m, s)
            b = field(m, s + 0.125 * a)
            c = field(m, s + 0.125 * b)
            s = s + 0.25 / 6 * (a + 2 * b + 2 * c + field(m, s + 0.25 * c))
            path.append(s)
        return torch.stack(path, 1)

    return Net(
        run,
        **(
            {"pull": nn.Parameter(torch.ones(())), "rub": nn.Parameter(torch.zeros(()))}
            if kind == "law"
            else {"net": mlp(2, 2, 32, 1, nn.Tanh)}
        ),
    )


def wave_equation(model: nn.Module, batch: Any) -> Tensor:
    """A PINN of a damped oscillator with its start held hard: second derivatives by autograd."""
    t = (torch.rand(64, 1) * 4).requires_grad_(True)
    u = 1 + t**2 * model(t)
    (first,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), t, create_graph=True)
    return (second + 0.4 * first + 2 * u).square().mean()


CASES: list[Case] = [
    *each("code-book-learned", "autoencoders", code_book, tasks.mosaic, only_x, {"adam": 5e-3, "adamw": 5e-3}, 120),
    *each("glow-moons", "flows", glow, tasks.moons, only_x, {"adam": 5e-3, "adamax": 1e-2}, 120),
    *each("masked-pixels", "autoregressive", masked_pixels, tasks.mosaic, only_x, {"adam": 5e-3, "rmsprop": 2e-3}, 60),
    *each("importance-weighted", "autoencoders", importance, tasks.mosaic, only_x, {"adam": 5e-3}, 80),
    healthy("vae-annealed", "autoencoders", seeded(annealed), 120),
    *each("diffusion-velocity", "diffusion", diffused, partial(tasks.couples, size=128), only_x, {"adamw": 1e-2, "adam": 5e-3}, 200),
    *each("neural-process", "meta learning", neural_process, tasks.moons, only_x, {"adam": 3e-3}, 120),
    healthy("gan-relativistic", "games", seeded(partial(game, kind="one")), 80, falls=False),
    healthy("cycle-gan", "games", seeded(partial(game, kind="cycle")), 60, falls=False),
    *[case for kind, rate in (("net", 1e-2), ("law", 3e-2)) for case in each(f"pendulum-{kind}", "physics", partial(world_model, kind), tasks.pendulum, lambda m, b: F.smooth_l1_loss(m(b[0]), b[1]), {"adam": rate}, 100)],
    *each("pinn-oscillator", "physics", partial(mlp, 1, 1, 32, 2, nn.Tanh), tasks.inverse, wave_equation, {"adam": 3e-3}, 100),
]  # fmt: skip
