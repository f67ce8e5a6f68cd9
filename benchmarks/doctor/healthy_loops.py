"""Healthy loops out of the ordinary: accumulation, clipping, autocast, scalers, schedules, closures, Lightning."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, healthy, optimizer_of, seeded
from benchmarks.doctor.losses import classify, regress
from benchmarks.doctor.nets import Attends, Recurrent, cnn, mlp

grey = partial(data.pictures, side=8, channels=1, size=32)
few = partial(data.digits, size=16)
dense = partial(mlp, 64, 10)


def accumulates(
    seed: int,
    net: Any = dense,
    make: Any = few,
    times: int = 4,
    rate: float = 5e-3,
) -> Training:
    """Step on every fourth batch."""
    model = net()

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        value = classify(network, batch)
        (value / times).backward()
        if (number + 1) % times == 0:
            optimizer.step()
            optimizer.zero_grad()
        return value

    return Training(model, make(seed), optimizer_of("adam", model.parameters(), rate), train_step=step)


def clips(seed: int, how: str) -> Training:
    """Clip by norm or by value before each step."""
    model = Recurrent("GRU", 1, 3)

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value = classify(network, batch)
        value.backward()
        if how == "norm":
            nn.utils.clip_grad_norm_(network.parameters(), 0.25)
        else:
            nn.utils.clip_grad_value_(network.parameters(), 0.01)
        optimizer.step()
        return value

    return Training(model, data.waves(seed), optimizer_of("adam", model.parameters(), 1e-2), train_step=step)


def mixed(
    seed: int,
    dtype: torch.dtype,
    scaler: bool,
    net: Any = dense,
    make: Any = data.digits,
    optimizer: str = "adam",
    rate: float = 3e-3,
    start: float = 2.0**16,
) -> Training:
    """Autocast, with or without a scaler; in float16 the scaler skips steps while it looks for its scale."""
    model = net()
    scale = torch.amp.GradScaler("cpu", init_scale=start, enabled=scaler)

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            value = classify(network, batch)
        scale.scale(value).backward()
        scale.step(stepper)
        scale.update()
        return value

    return Training(model, make(seed), optimizer_of(optimizer, model.parameters(), rate), train_step=step)


def sharpness(seed: int) -> Training:
    """SAM: up a little, a second gradient there, back, and a step."""
    model = mlp(64, 10)

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value = classify(network, batch)
        value.backward()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm() + 1e-12
            moves = [0.05 * p.grad / norm for p in network.parameters()]
            for p, move in zip(network.parameters(), moves, strict=True):
                p.add_(move)
        optimizer.zero_grad()
        classify(network, batch).backward()
        with torch.no_grad():
            for p, move in zip(network.parameters(), moves, strict=True):
                p.sub_(move)
        optimizer.step()
        return value

    return Training(model, data.digits(seed), optimizer_of("sgd", model.parameters(), 0.05), train_step=step)


def quasi_newton(seed: int) -> Training:
    """LBFGS, which calls a closure several times per step."""
    model = mlp(8, 1, act=nn.Tanh)

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            value = regress(network, batch)
            value.backward()
            return value

        return torch.as_tensor(optimizer.step(closure))

    return Training(
        model, data.teacher(seed, 1024), torch.optim.LBFGS(model.parameters(), 0.5, max_iter=4), train_step=step
    )


def scheduled(seed: int, warm: int = 20) -> Training:
    """A rate that rises from nothing, then falls by a cosine: its first steps are tiny, and right so."""
    model = Attends(30, 2)
    optimizer = optimizer_of("adamw", model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min((n + 1) / warm, 1.0) * 0.5 * (1 + math.cos(math.pi * n / 120))
    )

    def step(network: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        value = classify(network, batch)
        value.backward()
        stepper.step()
        schedule.step()
        return value

    return Training(model, data.tokens(seed), optimizer, train_step=step)


def two_optimizers(seed: int) -> Training:
    """Body and head each with an optimiser of their own."""
    model = mlp(64, 10)
    pair = [optimizer_of("sgd", model[:-1].parameters(), 0.03), optimizer_of("adam", model[-1].parameters(), 3e-3)]

    def step(network: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        for each in optimizers:
            each.zero_grad()
        value = classify(network, batch)
        value.backward()
        for each in optimizers:
            each.step()
        return value

    return Training(model, data.digits(seed), pair, train_step=step)


def truncated(seed: int) -> Training:
    """Back-propagation through time in pieces: the state goes on, its graph does not."""
    model = nn.ModuleDict({"core": nn.GRU(1, 24, batch_first=True), "head": nn.Linear(24, 1)})
    state: list[Any] = [None]

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        optimizer.zero_grad()
        out, last = network["core"](x[:, :-1], state[0])
        state[0] = last.detach()
        value = F.mse_loss(network["head"](out), x[:, 1:])
        value.backward()
        optimizer.step()
        return value

    return Training(model, data.waves(seed), optimizer_of("adam", model.parameters(), 1e-2), train_step=step)


def evaluates(seed: int) -> Training:
    """Looks at held-out data in evaluation mode after every fifth step."""
    model = nn.Sequential(*cnn()[:-1], nn.Dropout(0.2), nn.Linear(128, 4))
    held = next(iter(grey(seed + 1)))

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        network.train()
        optimizer.zero_grad()
        value = classify(network, batch)
        value.backward()
        optimizer.step()
        if number % 5 == 4:
            network.eval()
            with torch.no_grad():
                classify(network, held)
        return value

    return Training(model, grey(seed), optimizer_of("adam", model.parameters(), 3e-3), train_step=step)


def noisy(seed: int) -> Training:
    """Gradients with noise added, as in private training."""
    model = mlp(64, 10)

    def step(network: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value = classify(network, batch)
        value.backward()
        for p in network.parameters():
            p.grad += 0.01 * torch.randn_like(p.grad)
        optimizer.step()
        return value

    return Training(model, data.digits(seed), optimizer_of("sgd", model.parameters(), 0.05), train_step=step)


def double(seed: int) -> Training:
    """Everything in float64."""
    model = mlp(8, 1, act=nn.Tanh).double()
    x, y = data.teacher(seed).tensors
    return Training(
        model, data.Batches((x.double(), y.double()), 64, seed), optimizer_of("adam", model.parameters(), 3e-3), regress
    )


half, brain = torch.float16, torch.bfloat16
CASES: list[Case] = [
    healthy("accumulate-4", "accumulation", seeded(accumulates), 100),
    healthy("accumulate-8-cnn", "accumulation", seeded(partial(accumulates, net=cnn, make=grey, times=8, rate=1e-2)), 120),
    healthy("accumulate-2-transformer", "accumulation", seeded(partial(accumulates, net=partial(Attends, 30, 2), make=data.tokens, times=2, rate=2e-3)), 100),
    healthy("clip-by-norm", "clipping", seeded(partial(clips, how="norm"))),
    healthy("clip-by-value", "clipping", seeded(partial(clips, how="value"))),
    healthy("bfloat16", "mixed precision", seeded(partial(mixed, dtype=brain, scaler=False))),
    healthy("bfloat16-scaler", "mixed precision", seeded(partial(mixed, dtype=brain, scaler=True, optimizer="sgd", rate=0.05))),
    healthy("bfloat16-cnn", "mixed precision", seeded(partial(mixed, dtype=brain, scaler=False, net=cnn, make=grey))),
    healthy("bfloat16-transformer", "mixed precision", seeded(partial(mixed, dtype=brain, scaler=False, net=partial(Attends, 30, 2), make=data.tokens, rate=2e-3))),
    healthy("float16-scaler", "mixed precision", seeded(partial(mixed, dtype=half, scaler=True))),
    healthy("float16-scaler-cnn", "mixed precision", seeded(partial(mixed, dtype=half, scaler=True, net=partial(cnn, norm=False), make=grey))),
    healthy("float16-scaler-searches", "mixed precision", seeded(partial(mixed, dtype=half, scaler=True, optimizer="sgd", rate=0.05, start=2.0**22))),
    healthy("sam", "closures", seeded(sharpness)),
    healthy("lbfgs", "closures", seeded(quasi_newton), 30),
    healthy("warm-up-cosine", "schedules", seeded(scheduled), 80),
    healthy("warm-up-long", "schedules", seeded(partial(scheduled, warm=60)), 80),
    healthy("two-optimizers", "dense", seeded(two_optimizers)),
    healthy("truncated-time", "recurrent", seeded(truncated), 80),
    healthy("evaluates-between", "convolutional", seeded(evaluates)),
    healthy("noisy-gradients", "dense", seeded(noisy)),
    healthy("float64", "regression", seeded(double)),
]  # fmt: skip
