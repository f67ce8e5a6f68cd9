"""Healthy loops and losses of practice: schedules, averages, mixed precision, imbalance, noise, forecasts, counts."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, each, looped, next_one
from benchmarks.doctor.second.nets import GPT, Convolved, LeNet, Tagger, ViT

dense = partial(mlp, 24, 4, 48, 2)


def plain(loss: Any, after: Any = None, before: Any = None) -> Any:
    """Return the usual step with something done before the step, or after it."""

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        value: Tensor = loss(net, batch)
        value.backward()
        if before:
            before(net)
        optimizer.step()
        if after:
            after(number)
        return value

    return step


def scheduled(seed: int, kind: str) -> Training:
    """One cycle, warm restarts, an exponential fall, or a plateau that asks for the loss."""
    model = LeNet()
    optimizer = by("sgd", 0.05, model.parameters())
    rates = torch.optim.lr_scheduler
    schedule: Any = {
        "one-cycle": lambda: rates.OneCycleLR(optimizer, 0.15, total_steps=81),
        "warm-restarts": lambda: rates.CosineAnnealingWarmRestarts(optimizer, 20),
        "cyclic": lambda: rates.CyclicLR(optimizer, 0.005, 0.04, 15),
    }[kind]()
    return Training(model, tasks.shapes(seed), optimizer, train_step=plain(classify, lambda number: schedule.step()))


def averaged(seed: int) -> Training:
    """Stochastic weight averaging of the later steps, in a copy."""
    model = LeNet(nn.GELU)
    mean = torch.optim.swa_utils.AveragedModel(model)
    step = plain(classify, lambda number: mean.update_parameters(model) if number > 40 else None)
    return looped(model, tasks.shapes(seed), step, "nesterov", 0.05)


def looks_ahead(seed: int) -> Training:
    """Lookahead: every fifth step back half-way to the slow weights."""
    model = dense()
    slow = [p.detach().clone() for p in model.parameters()]

    def after(number: int) -> None:
        if number % 5 == 4:
            with torch.no_grad():
                for fast, old in zip(model.parameters(), slow, strict=True):
                    old.lerp_(fast, 0.5)
                    fast.copy_(old)

    return looped(model, tasks.factors(seed), plain(classify, after), "adam", 1e-2)


def brain(seed: int, whole: bool) -> Training:
    """bfloat16: by autocast, or the whole network with float32 losses."""
    model: nn.Module = ViT() if not whole else dense().to(torch.bfloat16)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        with nullcontext() if whole else torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(batch[0].bfloat16() if whole else batch[0])
        return F.cross_entropy(out.float(), batch[1])

    return looped(model, tasks.factors(seed) if whole else tasks.shapes(seed), plain(loss), "adam", 3e-3)


def half(seed: int) -> Training:
    """float16 autocast on a GPT with a scaler, unscaled and clipped before the step."""
    model = GPT()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = next_one(net, batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return looped(model, tasks.corpus(seed), step, "adamw", 5e-3)


def accumulated(seed: int, kind: str) -> Training:
    """Gradients of several batches: of a GPT, or of an LSTM; zeroed after the step, not before."""
    model: nn.Module = GPT() if kind == "gpt" else Tagger()
    loss_of, many = (next_one, 3) if kind == "gpt" else (classify, 6)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = loss_of(net, batch)
        (loss / many).backward()
        if number % many == many - 1:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss

    batches = tasks.corpus(seed, 8) if kind == "gpt" else tasks.tags(seed, 8)
    return looped(model, batches, step, "adamw", 1e-2 if kind == "gpt" else 3e-2)


def adaptive_sharpness(seed: int) -> Training:
    """ASAM as a closure, with batch norms that are seen twice."""
    model = nn.Sequential(nn.Linear(24, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 4))

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = classify(net, batch)
        loss.backward()
        kept = {}
        with torch.no_grad():
            scale = torch.stack([(p.abs() * p.grad).norm() for p in net.parameters()]).norm() + 1e-12
            for p in net.parameters():
                kept[p] = p.detach().clone()
                p.add_(p.square() * p.grad, alpha=0.3 / float(scale))
        optimizer.zero_grad()
        classify(net, batch).backward()
        with torch.no_grad():
            for p, old in kept.items():
                p.copy_(old)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return looped(model, tasks.factors(seed), step, "sgd", 0.05)


def full_batch(seed: int) -> Training:
    """LBFGS with a line search on logistic regression over a real table."""
    model = nn.Linear(30, 2)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1, max_iter=2, line_search_fn="strong_wolfe")

    def step(net: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        def closure() -> Tensor:
            stepper.zero_grad()
            loss = classify(net, batch) + 1e-3 * net.weight.square().sum()
            loss.backward()
            return loss

        return torch.as_tensor(stepper.step(closure))

    return Training(model, tasks.measured(seed, "cancer", 569), optimizer, train_step=step)


def attacked(model: nn.Module, batch: Any) -> Tensor:
    """Adversarial training: half clean, half moved along the sign of the slope (FGSM)."""
    x = batch[0].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(F.cross_entropy(model(x), batch[1]), x)
    moved = (x + 0.1 * slope.sign()).detach()
    return 0.5 * F.cross_entropy(model(batch[0]), batch[1]) + 0.5 * F.cross_entropy(model(moved), batch[1])


def mixed_up(model: nn.Module, batch: Any) -> Tensor:
    """Mixup with label smoothing."""
    x, y = batch
    share, other = float(torch.distributions.Beta(0.4, 0.4).sample()), torch.randperm(len(x))
    out = model(share * x + (1 - share) * x[other])
    return share * F.cross_entropy(out, y, label_smoothing=0.1) + (1 - share) * F.cross_entropy(
        out, y[other], label_smoothing=0.1
    )


def unsure(seed: int) -> Training:
    """Two tasks weighed by learned variances, which have a group and a rate of their own; no decay for biases."""
    model: Any = nn.ModuleDict({"body": mlp(24, 16, 48, 1), "one": nn.Linear(16, 4), "two": nn.Linear(16, 24)})
    model.register_parameter("logs", nn.Parameter(torch.zeros(2)))
    decayed = [p for name, p in model.named_parameters() if p.dim() > 1]
    rest = [p for name, p in model.named_parameters() if p.dim() == 1 and name != "logs"]
    groups = [
        {"params": decayed, "weight_decay": 0.1},
        {"params": rest, "weight_decay": 0.0},
        {"params": [model.logs], "lr": 2e-2, "weight_decay": 0.0},
    ]

    def loss(net: Any, batch: Any) -> Tensor:
        h = F.relu(net["body"](batch[0]))
        both = torch.stack((F.cross_entropy(net["one"](h), batch[1]), F.mse_loss(net["two"](h), batch[0])))
        return (both * torch.exp(-net.logs) + net.logs).sum()

    return Training(model, tasks.factors(seed), torch.optim.AdamW(groups, lr=5e-3), loss)


def surgery(seed: int) -> Training:
    """PCGrad: two tasks' gradients by autograd.grad, projected, and written into .grad by hand."""
    model = nn.ModuleDict({"body": mlp(24, 16, 48, 1), "one": nn.Linear(16, 2), "two": nn.Linear(16, 2)})

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        h = F.relu(net["body"](batch[0]))
        losses = F.cross_entropy(net["one"](h), batch[1] // 2), F.cross_entropy(net["two"](h), batch[1] % 2)
        ps = list(net.parameters())
        both = [torch.autograd.grad(loss, ps, retain_graph=True, allow_unused=True) for loss in losses]
        one, two = (
            torch.cat(
                [torch.zeros_like(p).flatten() if g is None else g.flatten() for g, p in zip(gs, ps, strict=True)]
            )
            for gs in both
        )
        if one @ two < 0:
            one, two = one - (one @ two) / two.square().sum() * two, two - (one @ two) / one.square().sum() * one
        total, start = one + two, 0
        for p in ps:
            p.grad = total[start : start + p.numel()].view_as(p).clone()
            start += p.numel()
        optimizer.step()
        return sum(losses)  # type: ignore[return-value]

    return looped(model, tasks.factors(seed), step, "adam", 5e-3)


def thawed(seed: int) -> Training:
    """The head alone for twenty steps, then the body as well, at a smaller rate: a group that is added."""
    model: Any = dense()
    model[:-1].requires_grad_(False)
    optimizer = by("adam", 1e-2, model[-1].parameters())

    def after(number: int) -> None:
        if number == 20:
            model[:-1].requires_grad_(True)
            optimizer.add_param_group({"params": model[:-1].parameters(), "lr": 5e-3})

    return Training(model, tasks.factors(seed), optimizer, train_step=plain(classify, after))


def carried(seed: int) -> Training:
    """Letters in order, truncated: an LSTM's state goes on from batch to batch, detached."""
    model = nn.ModuleDict(
        {"embed": nn.Embedding(27, 16), "core": nn.LSTM(16, 32, batch_first=True), "out": nn.Linear(32, 27)}
    )
    text = tasks.corpus(seed, length=1).tensors[0][:, 0]
    rows = text[: len(text) // 8 * 8].view(8, -1)
    state: list[Any] = [None]

    def pieces() -> Iterator[Any]:
        while True:
            for start in range(0, rows.shape[1] - 13, 12):
                yield (rows[:, start : start + 13],)

    def loss(net: Any, batch: Any) -> Tensor:
        out, (h, c) = net["core"](net["embed"](batch[0][:, :-1]), state[0])
        state[0] = (h.detach(), c.detach())
        return F.cross_entropy(net["out"](out).flatten(0, 1), batch[0][:, 1:].flatten())

    return looped(model, pieces(), plain(loss), "adam", 1e-2)


def clipped_each(seed: int) -> Training:
    """Adaptive clipping: each gradient is at most a tenth of its weight."""

    def clip(net: Any) -> None:
        for p in net.parameters():
            p.grad.mul_((0.1 * p.detach().norm().clamp(min=1e-3) / (p.grad.norm() + 1e-6)).clamp(max=1.0))

    return looped(LeNet(), tasks.shapes(seed), plain(classify, before=clip), "sgd", 0.1)


CASES: list[Case] = [
    *[healthy(f"schedule-{kind}", "schedules", seeded(partial(scheduled, kind=kind)), 80) for kind in ("one-cycle", "warm-restarts", "cyclic")],
    healthy("weight-averaging", "schedules", seeded(averaged), 80),
    healthy("lookahead", "schedules", seeded(looks_ahead)),
    healthy("bfloat16-vit", "mixed precision", seeded(partial(brain, whole=False)), 80),
    healthy("bfloat16-whole", "mixed precision", seeded(partial(brain, whole=True)), 80),
    healthy("float16-gpt-scaler", "mixed precision", seeded(half), 60),
    healthy("accumulate-gpt-3", "accumulation", seeded(partial(accumulated, kind="gpt")), 120),
    healthy("accumulate-tagger-6", "accumulation", seeded(partial(accumulated, kind="tagger")), 120),
    healthy("adaptive-sam", "closures", seeded(adaptive_sharpness)),
    healthy("lbfgs-cancer", "closures", seeded(full_batch), 20),
    *each("adversarial", "robust losses", dense, tasks.factors, attacked, {"adam": 5e-3, "sgd": 0.05}),
    *each("mixup", "robust losses", LeNet, tasks.shapes, mixed_up, {"adam": 5e-3}, 100),
    healthy("learned-variances", "several tasks", seeded(unsure), 80),
    healthy("gradient-surgery", "several tasks", seeded(surgery)),
    healthy("thawed-later", "fine-tuning", seeded(thawed)),
    healthy("letters-carried-state", "recurrent", seeded(carried), 80),
    healthy("adaptive-clipping", "clipping", seeded(clipped_each), 80),
    *each("gcn-deep-4", "graph nets", partial(Convolved, "gcn", 24, 4), tasks.community, classify, {"adam": 1e-2}, 80),
]  # fmt: skip
