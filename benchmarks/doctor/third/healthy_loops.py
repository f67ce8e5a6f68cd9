"""Healthy loops: own optimisers, hooks, samples' own gradients, averages, thawing, empty losses, Lightning, the last bit."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, fit, looped, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_nets import Swiglu
from benchmarks.doctor.third.healthy_sequences import sorted_, sorter
from benchmarks.doctor.third.optimisers import Lion, Muon
from benchmarks.doctor.third.tasks import Net

arms = partial(mlp, 2, 3, 48, 2)


def usual(loss: Any, before: Any = None, after: Any = None) -> Any:
    """Return the usual step with something before it, and after."""

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(model, batch)
        value.backward()
        if before:
            before(model, optimizer, number)
        optimizer.step()
        if after:
            after(model, optimizer, number)
        return value

    return step


def stepped(seed: int, kind: str) -> Training:
    """An optimiser of one's own, resilient propagation on all data, or LBFGS with a line search."""
    if kind == "rprop":
        net = arms()
        return Training(net, tasks.spirals(seed, 960), torch.optim.Rprop(net.parameters(), 1e-3), classify)
    if kind == "lbfgs":
        net = mlp(10, 1, 16, 1, nn.Tanh)

        def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = squared(model, batch) + 1e-4 * sum(p.square().sum() for p in model.parameters())
                loss.backward()
                return loss

            return torch.as_tensor(optimizer.step(closure))

        return Training(
            net,
            tasks.friedman(seed, 1024),
            torch.optim.LBFGS(net.parameters(), max_iter=4, line_search_fn="strong_wolfe"),
            train_step=step,
        )
    net = arms()
    kinds: dict[str, Any] = {"lion": partial(Lion, lr=2e-3), "muon": partial(Muon, lr=0.02)}
    return Training(net, tasks.spirals(seed), kinds[kind](net.parameters()), classify)


def in_backward(seed: int) -> Training:
    """Each parameter has an optimiser that steps within backward, to save memory."""
    net = arms()
    each = [torch.optim.Adam([p], 5e-3) for p in net.parameters()]

    def hook(optimizer: Any) -> Any:
        def step(p: Any) -> None:
            optimizer.step()
            optimizer.zero_grad()

        return step

    for p, optimizer in zip(net.parameters(), each, strict=True):
        p.register_post_accumulate_grad_hook(hook(optimizer))

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        loss = classify(model, batch)
        loss.backward()
        return loss

    return Training(net, tasks.spirals(seed), each, train_step=step)


def private(seed: int) -> Training:
    """DP-SGD: gradients per sample by torch.func, clipped, summed, made noisy, and assigned."""
    net = mlp(2, 3, 32, 1)

    def one(parameters: Any, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, parameters, (x[None],)), y[None])

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        weights = {name: p.detach() for name, p in model.named_parameters()}
        grads, losses = torch.func.vmap(torch.func.grad_and_value(one), (None, 0, 0))(weights, *batch)
        norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()
        share = (1.0 / (norm + 1e-6)).clamp(max=1.0)
        for name, p in model.named_parameters():
            g = torch.einsum("b,b...->...", share, grads[name])
            p.grad = (g + 0.1 * torch.randn_like(g)) / len(norm)
        optimizer.step()
        return losses.mean()

    return looped(net, tasks.spirals(seed), step, "sgd", 0.3)


def averaged(seed: int) -> Training:
    """Moving averages of the weights are swapped in for evaluation every tenth step, and out again."""
    net = nn.Sequential(nn.Linear(2, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 3))
    slow = copy.deepcopy(net.state_dict())
    held = next(iter(tasks.spirals(seed)))

    def after(model: Any, optimizer: Any, number: int) -> None:
        for name, value in model.state_dict().items():
            slow[name] = 0.9 * slow[name] + 0.1 * value if value.is_floating_point() else value.clone()
        if number % 10 == 9:
            fast = copy.deepcopy(model.state_dict())
            model.load_state_dict(slow)
            model.eval()
            with torch.no_grad():
                classify(model, held)
            model.load_state_dict(fast)
            model.train()

    return looped(net, tasks.spirals(seed), usual(classify, after=after), "adam", 1e-2)


def in_turn(seed: int) -> Training:
    """Who and what in turn: one half is frozen at each step, and gradients are set to None."""
    net: Any = Net(
        lambda m, x: (m.who(x[:, 0]) * m.what(x[:, 1])).sum(1, keepdim=True),
        who=nn.Embedding(40, 4),
        what=nn.Embedding(30, 4),
    )

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        model.who.requires_grad_(number % 2 == 0)
        model.what.requires_grad_(number % 2 == 1)
        optimizer.zero_grad(set_to_none=True)
        loss = squared(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    return looped(net, tasks.ratings(seed), step, "plain", 3.0)


def hardest(model: nn.Module, batch: Any) -> Tensor:
    """Only the hardest quarter of the batch counts."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none").topk(len(batch[1]) // 4).values.mean()


def half_taught(seed: int) -> Training:
    """FixMatch: the part without labels counts where the guess is sure, which at first is nowhere."""
    x, y = tasks.spirals(seed).tensors

    def loss(model: nn.Module, batch: Any) -> Tensor:
        known = F.cross_entropy(model(batch[0][:32]), batch[1][:32])
        with torch.no_grad():
            sure, guess = model(batch[0][32:]).softmax(1).max(1)
        noisy = batch[0][32:] + 0.05 * torch.randn_like(batch[0][32:])
        return known + (F.cross_entropy(model(noisy), guess, reduction="none") * (sure > 0.97)).mean()

    return Training(net := arms(), tasks.Batches((x, y), 96, seed), by("adam", 5e-3, net.parameters()), loss)


def brain_float(seed: int) -> Training:
    """bfloat16 by autocast over gated units, accumulated over two batches, clipped, with a last batch of its own size."""
    net = nn.Sequential(nn.Linear(2, 48), Swiglu(48), Swiglu(48), nn.Linear(48, 3))

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        rows = slice(None) if number % 5 else slice(0, 7)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(batch[0][rows]).float(), batch[1][rows])
        (loss / 2).backward()
        if number % 2:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return looped(net, tasks.spirals(seed), step, "adamw", 5e-3)


def stateful(seed: int) -> Training:
    """A GRU whose state goes on from batch to batch of one long series, detached in place."""
    net: Any = Net(
        lambda m, x, h: (lambda out: (m.out(out[0]), out[1]))(m.core(x, h)),
        core=nn.GRU(1, 24, batch_first=True),
        out=nn.Linear(24, 1),
    )
    wave = torch.sin(torch.arange(8 * 1200.0) / 7) * torch.cos(torch.arange(8 * 1200.0) / 31)
    pieces = wave.view(8, 1200, 1).split(12, 1)
    state: list[Any] = [None]

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        out, state[0] = model(batch[:, :-1], state[0])
        loss = F.mse_loss(out, batch[:, 1:])
        loss.backward()
        optimizer.step()
        state[0].detach_()
        return loss

    return Training(net, pieces, torch.optim.Adam(net.parameters(), 5e-3), train_step=step)


def warmed(seed: int) -> Training:
    """Attention is all you need's schedule (Noam): the rate starts at almost nothing."""
    net = sorter()
    optimizer = torch.optim.Adam(net.parameters(), 1.0, (0.9, 0.98), 1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.05 * min((n + 1) ** -0.5, (n + 1) * 40**-1.5))

    def step(model: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        stepper.zero_grad()
        loss = sorted_(model, batch)
        loss.backward()
        stepper.step()
        schedule.step()
        return loss

    return Training(net, tasks.sorting(seed), optimizer, train_step=step)


class Lit(pl.LightningModule):
    """A module of Lightning: one optimiser with a schedule per step, or two by hand, or a plateau."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.net = arms() if kind != "by-hand" else nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 3))
        self.automatic_optimization = kind != "by-hand"

    def training_step(self, batch: Any, number: int) -> Any:
        loss = classify(self.net, batch)
        if self.automatic_optimization:
            return loss
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        return {"loss": loss.detach()}

    def configure_optimizers(self) -> Any:
        if self.kind == "by-hand":
            return [torch.optim.Adam(self.net[0].parameters(), 1e-2), torch.optim.SGD(self.net[2].parameters(), 0.1)]  # type: ignore[index, operator, union-attr]
        optimizer = torch.optim.AdamW(self.parameters(), 5e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, 121)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def lightning(seed: int, kind: str, **trainer: Any) -> Training:
    """Return a Lightning module's training."""
    return Training(Lit(kind), tasks.spirals(seed), trainer=trainer)


CASES: list[Case] = [
    *[healthy(f"optimiser-{kind}", "optimisers", seeded(partial(stepped, kind=kind)), steps) for kind, steps in (("rprop", 60), ("lbfgs", 20), ("lion", 100), ("muon", 100))],
    healthy("steps-in-backward", "optimisers", seeded(in_backward), 100),
    healthy("private-samples", "optimisers", seeded(private), 100),
    healthy("averages-swapped", "averages", seeded(averaged), 100),
    healthy("in-turn", "embeddings", seeded(in_turn), 120),
    healthy("hardest-quarter", "imbalance", seeded(partial(fit, net=arms, make=tasks.spirals, loss=hardest, way="adam", rate=5e-3)), 150),
    healthy("half-taught", "self-supervised", seeded(half_taught), 120),
    healthy("brain-float-pairs", "sixteen bits", seeded(brain_float), 150),
    *[healthy(f"lightning-{name}", "lightning", seeded(partial(lightning, kind=kind, **settings)), 120) for name, kind, settings in (
        ("by-hand", "by-hand", {}), ("one-cycle", "one-cycle", {}), ("one-cycle-bf16", "one-cycle", {"precision": "bf16-mixed", "gradient_clip_val": 1.0}))],
    healthy("transformer-sorts-noam", "transformers", seeded(warmed), 100),
    healthy("stateful-gru", "recurrent", seeded(stateful), 90),
]  # fmt: skip
