"""Healthy: ordinary networks whose loop is more than three lines."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, OneCycleLR, ReduceLROnPlateau
from torch.utils.checkpoint import checkpoint

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, moons
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_lessons import resnet
from benchmarks.doctor.fifth.healthy_parts import by, ce, dense, down, follow, named, plain
from benchmarks.doctor.fourth.data import scenes


def accumulated(seed: int, every: int) -> Training:
    """Small batches, gradients added up, a step at each `every`-th."""
    model = dense(64, 10, 64)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = ce(net, batch) / every
        loss.backward()
        if (number + 1) % every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return Training(model, digits(seed, 16), by("adam", model.parameters(), 5e-3), train_step=step)


def brain(seed: int) -> Training:
    """Autocast to bfloat16, weights in full."""
    model = resnet()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Training(model, scenes(seed), by("nesterov", model.parameters(), 0.05), train_step=step)


def half(seed: int) -> Training:
    """Autocast to float16 with a scaler that seeks its scale: steps left out at first are normal (MzeroMiko/VMamba#252)."""
    model, scaler = dense(64, 10, 64, nn.GELU), torch.amp.GradScaler("cpu", init_scale=2.0**22)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(net(batch[0]).float(), batch[1])
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return Training(model, digits(seed), by("adamw", model.parameters(), 3e-3), train_step=step)


def scheduled(seed: int, rule: Callable[[Any], Any], rate: float, by_loss: bool = False) -> Training:
    """A residual network by momentum, the rate by a rule."""
    model = resnet()
    optimizer = by("sgd", model.parameters(), rate)
    schedule = rule(optimizer)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = down(optimizer, ce(net, batch))
        if by_loss:
            schedule.step(float(loss.detach()))
        else:
            schedule.step()
        return loss

    return Training(model, scenes(seed), optimizer, train_step=step)


def averaged(seed: int) -> Training:
    """A running average of the weights beside them, and Polyak's from the middle on."""
    model = dense(64, 10, 48, nn.Mish)
    slow, mean = copy.deepcopy(model).requires_grad_(False), torch.optim.swa_utils.AveragedModel(model)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = down(optimizer, ce(net, batch))
        follow(slow, net, 0.95)
        if number >= 40:
            mean.update_parameters(net)
        return loss

    return Training(model, digits(seed), by("sgd", model.parameters(), 0.05), train_step=step)


def zigzag(seed: int) -> Training:
    """Two tasks by turns, of losses of different size: one head rests while the other learns, and the loss zigzags."""
    model: Any = nn.ModuleDict({"body": dense(64, 48, 64), "name": nn.Linear(48, 10), "ink": nn.Linear(48, 1)})

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        h = F.relu(m["body"](batch[0]))
        if number % 2:
            return down(optimizer, 0.1 * F.mse_loss(m["ink"](h)[:, 0], batch[0].mean(1) * 4))
        return down(optimizer, F.cross_entropy(m["name"](h), batch[1]))

    return Training(model, digits(seed), by("adam", model.parameters(), 3e-3), train_step=step)


def curriculum(seed: int) -> Training:
    """Sums of two marked numbers, in longer and longer sequences: the loss rises at each new length."""
    from benchmarks.doctor.data import adding

    model: Any = nn.ModuleDict({"rnn": nn.GRU(2, 32, batch_first=True), "out": nn.Linear(32, 1)})
    lessons = [next(iter(adding(seed + n, 64, 4 + 4 * (n // 50)))) for n in range(150)]

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        return down(optimizer, F.mse_loss(m["out"](m["rnn"](batch[0])[0][:, -1]), batch[1]))

    return Training(model, lessons, by("adam", model.parameters(), 1e-2), train_step=step)


def hardest(model: nn.Module, batch: Any) -> Tensor:
    """The mean over the hardest third of a batch."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none").topk(len(batch[0]) // 3)[0].mean()


def closures(seed: int) -> Training:
    """L-BFGS with a line search on all points at once."""
    model = dense(2, 2, 16, nn.Tanh)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=4, line_search_fn="strong_wolfe")

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = ce(net, batch)
            loss.backward()
            return loss

        return torch.as_tensor(optimizer.step(closure)).detach()

    return Training(model, moons(seed, 512), optimizer, train_step=step)


def scripted() -> Any:
    """Return a network compiled by TorchScript."""
    return torch.jit.script(nn.Sequential(nn.Linear(64, 48), nn.ELU(), nn.Linear(48, 48), nn.ELU(), nn.Linear(48, 10)))


class Again(nn.Module):
    """Blocks whose insides are computed anew going back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, 2, 1), nn.Linear(16, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 16, 3, 1, 1)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return self.head(x.mean((2, 3)))


def mixed(seed: int) -> Training:
    """CutMix: a patch of another picture, and its share of the label."""
    model = resnet()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch[0].clone(), F.one_hot(batch[1], 3).float()
        side, other = int(torch.randint(2, 9, ())), torch.randperm(len(x))
        top, left = (int(torch.randint(0, 17 - side, ())) for _ in range(2))
        x[:, :, top : top + side, left : left + side] = x[other, :, top : top + side, left : left + side]
        share = side * side / 256
        return down(optimizer, F.cross_entropy(net(x), (1 - share) * y + share * y[other]))

    return Training(model, scenes(seed), by("adamw", model.parameters(), 5e-3), train_step=step)


def noisy(seed: int) -> Training:
    """Four labels in ten are wrong: the loss comes to rest high above zero."""
    x, y = digits(seed).tensors
    wrong = torch.rand(len(y), generator=data.dice(seed)) < 0.4
    y = torch.where(wrong, torch.randint(0, 10, y.shape, generator=data.dice(seed + 1)), y)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))
    from benchmarks.doctor.case import Batches

    return Training(model, Batches((x, y), 64, seed), by("adam-l2", model.parameters(), 2e-3), ce)


def finished(seed: int) -> Training:
    """What was trained to the end goes on at a hundredth of the rate; nothing is left to learn."""
    model, batches = dense(64, 10, 64), digits(seed)
    optimizer = by("adam", model.parameters(), 5e-3)
    for _, batch in zip(range(400), batches, strict=False):
        down(optimizer, ce(model, batch))
    return Training(model, batches, by("adam", model.parameters(), 5e-5), ce)


def one_batch(seed: int) -> Training:
    """The first test of every network: one batch, over and over, until it is known by heart."""
    model = dense(64, 10, 128)
    return Training(model, repeat(next(iter(digits(seed, 32)))), by("adam", model.parameters(), 3e-3), ce)


def always_clipped(seed: int) -> Training:
    """A summed loss whose gradients, hundreds at first, are clipped at each step (TIGER-AI-Lab/VLM2Vec#137: normal)."""
    model = dense(64, 10, 64, nn.SiLU)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(batch[0]), batch[1], reduction="sum")
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    return Training(model, digits(seed), by("sgd", model.parameters(), 0.05), train_step=step)


def twice_backward(seed: int) -> Training:
    """Two losses go back one after the other and add up, on purpose, before the one step."""
    model: Any = nn.ModuleDict({"coder": dense(64, 16, 64), "decoder": dense(16, 64, 64), "head": nn.Linear(16, 10)})

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        z = m["coder"](batch[0])
        again = F.mse_loss(m["decoder"](z), batch[0])
        again.backward(retain_graph=True)
        known = F.cross_entropy(m["head"](z), batch[1])
        known.backward()
        optimizer.step()
        return again.detach() + known.detach()

    return Training(model, digits(seed), by("adamax", model.parameters(), 5e-3), train_step=step)


CASES: list[Case] = [
    named("accumulates-by-four", "accumulation", accumulated, 160, every=4),
    named("bfloat16-resnet", "mixed precision", brain, 60),
    named("float16-scaler-seeks", "mixed precision", half, 80),
    named("one-cycle-high", "schedules", scheduled, 100, rate=0.1, rule=partial(OneCycleLR, max_lr=0.3, total_steps=100)),
    named("warm-restarts", "schedules", scheduled, 100, rate=0.1, rule=partial(CosineAnnealingWarmRestarts, T_0=25)),
    named("plateau-by-loss", "schedules", scheduled, 80, rate=0.05, rule=partial(ReduceLROnPlateau, patience=10), by_loss=True),
    named("averages-beside", "averages", averaged, 80),
    named("tasks-by-turns", "several tasks", zigzag, 100),
    named("curriculum-of-lengths", "recurrent", curriculum, 150, falls=False),
    plain("hardest-third", "dense", partial(dense, 64, 10, 64), digits, hardest, "sgd", 0.05, 80),
    named("lbfgs-line-search", "closures", closures, 20),
    plain("scripted", "dense", scripted, digits, ce, "rmsprop", 2e-3, 60),
    named("cut-and-mixed", "robust losses", mixed, 100),
    named("noisy-labels", "noisy labels", noisy, 120, falls=False),
    named("trained-to-the-end", "trained to the end", finished, 50, falls=False),
    named("one-batch-by-heart", "dense", one_batch, 80),
    named("always-clipped", "clipping", always_clipped, 80),
    named("two-backward-passes", "several tasks", twice_backward, 80),
]  # fmt: skip
