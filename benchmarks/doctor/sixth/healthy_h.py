"""Healthy: loops that are not the usual one, optimisers by hand, gates, spikes, masks and coarse numbers."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

import copy
import math
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, moons, table, teacher, waves
from benchmarks.doctor.sixth.nets_c import Coarse, Spiking, TwoOfSix
from benchmarks.doctor.sixth.parts_c import (
    Lion,
    Muon,
    adam,
    ce,
    dense,
    down,
    follow,
    keeper,
    loader,
    mse,
    numbers,
    rows,
    sgd,
)

CASES: list[Case] = []
learns = keeper(CASES)


@learns("sharpness-aware", "loops", 100)
def sharp(seed: int) -> Training:
    """SAM: weights climb a little, the gradient is taken there, and they go back; two backward passes a step."""
    net = dense(64, 96, 96, 10)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = ce(model, batch)
        loss.backward()
        up = [
            0.05 * p.grad / torch.cat([q.grad.flatten() for q in model.parameters()]).norm() for p in model.parameters()
        ]
        with torch.no_grad():
            for p, e in zip(model.parameters(), up, strict=True):
                p.add_(e)
        optimizer.zero_grad()
        ce(model, batch).backward()
        with torch.no_grad():
            for p, e in zip(model.parameters(), up, strict=True):
                p.sub_(e)
        optimizer.step()
        return loss

    return Training(net, digits(seed), sgd(net, 0.05, 0.9), train_step=step)


@learns("look-ahead-slow-weights", "loops", 120)
def look_ahead(seed: int) -> Training:
    """Every fifth step the weights jump half way back: the loss has teeth."""
    net = dense(13, 48, 48, 1)
    x, y = teacher(seed, inputs=13).tensors
    slow = copy.deepcopy(net.state_dict())

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = down(optimizer, mse(model, batch))
        if number % 5 == 4:
            with torch.no_grad():
                for name, p in model.named_parameters():
                    slow[name].add_(p - slow[name], alpha=0.5)
                    p.copy_(slow[name])
        return loss

    return Training(net, rows(seed, x, y), adam(net, 0.01), train_step=step)


@learns("lion-by-hand", "optimisers", 120)
def lion(seed: int) -> Training:
    """All weights go the same small way in each step, whatever the gradient's size."""
    net = dense(64, 96, 10, act=nn.GELU)
    return Training(net, digits(seed), Lion(net.parameters(), 1e-3, weight_decay=0.1), ce)


@learns("muon-and-adam", "optimisers", 80)
def muon(seed: int) -> Training:
    """Matrices by Muon, the rest by Adam."""
    net = dense(64, 96, 96, 10, act=nn.SiLU)
    big = [p for p in net.parameters() if p.dim() == 2]
    two = [Muon(big), adam([p for p in net.parameters() if p.dim() != 2], 3e-3)]

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        loss = ce(model, batch)
        for each in optimizers:
            each.zero_grad()
        loss.backward()
        for each in optimizers:
            each.step()
        return loss

    return Training(net, digits(seed), two, train_step=step)


@learns("curvature-by-lbfgs", "optimisers", 30)
def lbfgs(seed: int) -> Training:
    """The whole table in a closure, twenty evaluations a step, strong Wolfe's search."""
    x, y = table(seed).tensors
    net = dense(12, 16, 2, act=nn.Tanh)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=8, line_search_fn="strong_wolfe")

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = ce(model, batch) + 1e-4 * sum(p.square().sum() for p in model.parameters())
            loss.backward()
            return loss

        value: Tensor = optimizer.step(closure)
        return value

    return Training(net, rows(seed, x, y, size=1024), optimizer, train_step=step)


@learns("four-batches-a-step-scaled", "loops", 160)
def scaled(seed: int) -> Training:
    """Gradients of four batches, scaled by 2^14 in bfloat16, clipped when unscaled; three steps of four change nothing."""
    net = dense(64, 96, 96, 10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=20)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = ce(model, batch)
        scaler.scale(loss / 4).backward()
        if number % 4 == 3:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
        return loss

    return Training(net, digits(seed, 32), adam(net, 5e-3), train_step=step)


@learns("sines-model-agnostic", "meta", 150)
def maml(seed: int) -> Training:
    """MAML: one inner step on ten points of a new sine, then the outer loss; each task is another."""
    net = dense(1, 40, 40, 1)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            high, at = 0.5 + 2 * torch.rand(()), 3.14 * torch.rand(())
            x = torch.rand(20, 1) * 10 - 5
            y = high * torch.sin(x + at)
            weights = dict(model.named_parameters())
            inner = F.mse_loss(functional_call(model, weights, x[:10]), y[:10])
            slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
            fast = {k: w - 0.05 * s for (k, w), s in zip(weights.items(), slopes, strict=True)}
            total = total + F.mse_loss(functional_call(model, fast, x[10:]), y[10:]) / 4
        return down(optimizer, total)

    return Training(net, numbers(), adam(net, 3e-3), train_step=step)


@learns("rate-in-waves", "schedules", 150)
def warm_restarts(seed: int) -> Training:
    """Cosine with restarts every fifty steps: at each the loss jumps up, and comes down again."""
    net = dense(64, 64, 64, 10, act=nn.Tanh)
    optimizer = sgd(net, 0.3, 0.9)
    rate = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 50, eta_min=1e-4)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = down(optimizer, ce(model, batch))
        rate.step()
        return loss

    return Training(net, digits(seed), optimizer, train_step=step)


@learns("leaky-spikes", "spiking", 120)
def spikes(seed: int) -> Training:
    """Surrogate gradients; low rates are wanted (github.com/jeshraghian/snntorch/issues/33)."""
    net = Spiking()
    return Training(net, digits(seed), adam(net, 5e-3), ce)


@learns("four-bits-half-pruned", "quantisation", 120)
def coarse(seed: int) -> Training:
    """Half of the weights are masked for ever: their gradient is zero, and shall be."""
    net = nn.Sequential(Coarse(64, 128), nn.ReLU6(), Coarse(128, 10))
    return Training(net, digits(seed), adam(net, 3e-3), ce)


@learns("two-of-six-experts", "gates", 120)
def experts(seed: int) -> Training:
    """Batches of eight rows: some expert often gets none, its gradients are zero then."""
    net = TwoOfSix()
    return Training(net, digits(seed, 8), adam(net, 3e-3), lambda m, b: m(*b))


class LitTasks(pl.LightningModule):
    """Two heads whose weights are learnt uncertainties; gradients of two batches add up; a rate that warms up."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.GRU(1, 32, batch_first=True)
        self.kind, self.next = nn.Linear(32, 3), nn.Linear(32, 1)
        self.unsure = nn.Parameter(torch.zeros(2))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Step."""
        x, y = batch
        h = self.body(x[:, :-1])[0]
        losses = torch.stack([F.cross_entropy(self.kind(h[:, -1]), y), F.mse_loss(self.next(h), x[:, 1:])])
        return ((-self.unsure).exp() * losses + 0.5 * self.unsure).sum()

    def configure_optimizers(self) -> Any:
        """Adam, one cycle."""
        optimizer = torch.optim.Adam(self.parameters(), 1e-3)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=120)
        return [optimizer], [{"scheduler": rate, "interval": "step"}]


@learns("lightning-two-uncertain-tasks", "multi-task", 100)
def tasks(seed: int) -> Training:
    """The loss goes below zero as the uncertainties shrink."""
    x, y = waves(seed).tensors
    return Training(LitTasks(), loader(seed, x, y), trainer={"accumulate_grad_batches": 2, "gradient_clip_val": 1.0})


@learns("mean-teacher-moons", "semi-supervised", 200)
def mean_teacher(seed: int) -> Training:
    """Twelve labels, a teacher that is an average, consistency whose weight rises from zero: the loss may rise with it."""
    x, y = moons(seed).tensors
    few = torch.cat([(y == k).nonzero()[:6, 0] for k in (0, 1)])
    net = dense(2, 32, 32, 2)
    slow = copy.deepcopy(net).requires_grad_(False)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        weight = 5 * math.exp(-5 * (1 - min(1.0, number / 100)) ** 2)
        out = model(batch[0] + 0.1 * torch.randn_like(batch[0])).softmax(1)
        wanted = slow(batch[0] + 0.1 * torch.randn_like(batch[0])).softmax(1)
        loss = F.cross_entropy(model(x[few]), y[few]) + weight * F.mse_loss(out, wanted)
        down(optimizer, loss)
        follow(slow, model, min(0.98, 1 - 1 / (number + 1)))
        return loss

    return Training(net, rows(seed, x, size=64), adam(net, 5e-3), train_step=step)


@learns("private-gradients", "loops", 150)
def private(seed: int) -> Training:
    """Gradients of single rows are clipped to one, added, and noise is put on top: the way down is rough."""
    net = dense(64, 32, 10, act=nn.Tanh)
    weights = dict(net.named_parameters())

    def one(w: Any, x: Tensor, y: Tensor) -> Any:
        return F.cross_entropy(functional_call(net, w, (x[None],)), y[None])

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        each = vmap(grad(one), in_dims=(None, 0, 0))({k: w.detach() for k, w in weights.items()}, *batch)
        size = torch.stack([g.flatten(1).norm(dim=1) for g in each.values()]).norm(dim=0)
        share = (1 / size).clamp_max(1)
        for name, p in weights.items():
            total = torch.einsum("b,b...->...", share, each[name])
            p.grad = (total + 0.5 * torch.randn_like(total)) / len(share)
        optimizer.step()
        with torch.no_grad():
            return ce(model, batch)

    return Training(net, digits(seed, 128), sgd(net, 0.5), train_step=step)
