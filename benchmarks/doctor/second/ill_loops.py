"""Ill in the loop: graphs that grow, gradients of other losses, statistics that move though frozen."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, left_over
from benchmarks.doctor.second.nets import PointNet
from benchmarks.doctor.second.pool import POOL, from_pool


def totals(seed: int, ill: bool, name: str, mean: bool) -> Training:
    """`total += loss`, for the progress bar: a sum, or a moving mean, of losses with all their graphs."""
    well = POOL[name]
    kept: list[Tensor] = []

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = well.loss(net, batch)
        loss.backward()
        optimizer.step()
        new = loss if ill else loss.detach()
        kept[:] = [new if not kept else 0.9 * kept[0] + 0.1 * new if mean else kept[0] + new]
        return kept[0]

    training = from_pool(seed, name)
    return Training(training.model, training.batches, training.optimizer, train_step=step)


def outputs(seed: int, ill: bool, name: str) -> Training:
    """All outputs are kept for a figure at the epoch's end, with their graphs."""
    kept: list[Tensor] = []

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        out = net(*batch[:-1])
        kept.append(out if ill else out.detach())
        loss = F.cross_entropy(out.flatten(0, -2), batch[-1].flatten())
        loss.backward()
        optimizer.step()
        return loss + 0.0 * torch.cat(kept).mean() if ill else loss

    training = from_pool(seed, name)
    return Training(training.model, training.batches, training.optimizer, train_step=step)


class Reservoir(nn.Module):
    """A fixed recurrence with learned ways in and out, whose state goes on from batch to batch."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.into, self.out = keep, nn.Linear(4, 32), nn.Linear(32, 8)
        self.register_buffer("carry", nn.init.orthogonal_(torch.empty(32, 32), 0.7))
        self.state: Any = torch.zeros(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        h = self.state if self.keep else self.state.detach()
        for piece in x.unflatten(1, (8, 4)).unbind(1):
            h = torch.tanh(h @ self.carry + self.into(piece))
        self.state = h
        return self.out(h)


def carries(seed: int, ill: bool, kind: str) -> Training:
    """A state or an average carries its graph into the next step, and retain_graph makes torch put up with it."""
    if kind == "reservoir":
        net: Any = Reservoir(ill)
        batches: Any = tasks.series(seed)

        def loss_of(model: Any, batch: Any) -> Tensor:
            return F.mse_loss(model(batch[0]), batch[1])
    else:  # a pull towards the moving average of the weights, which is not detached
        net, batches = mlp(24, 4, 32, 1), tasks.factors(seed)
        slow: list[Tensor] = []

        def loss_of(model: Any, batch: Any) -> Tensor:
            loss = classify(model, batch)
            if slow:
                loss = loss + 1e-3 * sum(((p - s) ** 2).sum() for p, s in zip(model.parameters(), slow, strict=True))
            news = [p if ill else p.detach() for p in model.parameters()]
            slow[:] = [0.9 * s + 0.1 * p for p, s in zip(news, slow, strict=True)] if slow else [1.0 * p for p in news]
            return loss

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward(retain_graph=ill)
        optimizer.step()
        return loss

    return Training(net, batches, by("adam", 5e-3, net.parameters()), train_step=step)


def queued(seed: int, ill: bool) -> Training:
    """A queue of keys, one batch after another, whose graphs nobody cut; the key net follows by .data."""
    net: Any = nn.ModuleDict({"query": mlp(24, 8, 32, 1), "key": mlp(24, 8, 32, 1)})
    net["key"].load_state_dict(net["query"].state_dict())
    queue = [F.normalize(torch.randn(64, 8), dim=1)]

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = batch[0]
        key = F.normalize(model["key"](x + 0.2 * torch.randn_like(x)), dim=1)
        key = key if ill else key.detach()
        query = F.normalize(model["query"](x + 0.2 * torch.randn_like(x)), dim=1)
        logits = torch.cat(((query * key).sum(1, keepdim=True), query @ queue[0].T), 1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward(retain_graph=ill)
        optimizer.step()
        for slow, fast in zip(model["key"].parameters(), model["query"].parameters(), strict=True):
            slow.data.mul_(0.95).add_(fast.data, alpha=0.05)
        queue[0] = torch.cat((key, queue[0]))[: 64 * 6]
        return loss

    return Training(net, tasks.factors(seed), by("sgd", 0.1, net["query"].parameters()), train_step=step)


def never(seed: int, ill: bool, name: str, every: int = 0) -> Training:
    """Gradients are zeroed never, or only at the start of each epoch, though there is a step per batch."""
    well = POOL[name]

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        if not ill or (every and number % every == 0):
            optimizer.zero_grad()
        loss = well.loss(net, batch)
        loss.backward()
        optimizer.step()
        return loss

    training = from_pool(seed, name)
    return Training(training.model, training.batches, training.optimizer, train_step=step)


def two_losses(seed: int, ill: bool, kind: str) -> Training:
    """One net's step leaves gradients in the other, which steps on them as well, since it zeroes nothing."""
    model: Any = nn.ModuleDict({"actor": nn.Sequential(mlp(4, 1, 32, 1), nn.Tanh()), "critic": mlp(5, 1, 32, 2)})
    pair = [by("adam", 1e-3, model["actor"].parameters()), by("sgd", 0.02, model["critic"].parameters())]
    seen_held, action_held = torch.randn(256, 4), 2 * torch.rand(256, 1) - 1
    reward_held = -(action_held - torch.tanh(seen_held[:, :1])).square()

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        seen, action = torch.randn(64, 4), 2 * torch.rand(64, 1) - 1
        reward = -(action - torch.tanh(seen[:, :1])).square()
        optimizers[0].zero_grad()
        (-3 * net["critic"](torch.cat((seen, net["actor"](seen)), 1)).mean()).backward()
        optimizers[0].step()
        if not ill:
            optimizers[1].zero_grad()
        loss = F.mse_loss(net["critic"](torch.cat((seen, action), 1)), reward)
        loss.backward()
        optimizers[1].step()
        if ill and kind == "late":
            net["actor"].zero_grad()
        return loss

    score = left_over([(torch.cat((seen_held, action_held), 1), reward_held)])
    return Training(model, tasks.rings(seed), pair, train_step=step, score=lambda net: score(net["critic"]))


def other_head(seed: int, ill: bool) -> Training:
    """Two tasks in turn on one body; the body's gradients of the one task are still there at the other's step."""
    model: Any = nn.ModuleDict({"body": mlp(24, 16, 48, 1), "one": nn.Linear(16, 2), "two": nn.Linear(16, 2)})
    optimizer = by("sgd", 0.1, model.parameters())
    x_held, y_held = next(iter(tasks.factors(seed, 256)))

    def step(net: Any, stepper: Any, batch: Any, number: int) -> Tensor:
        (net["one"] if ill else stepper).zero_grad()
        loss = F.cross_entropy(net["one"](F.relu(net["body"](batch[0]))), batch[1] // 2)
        loss.backward()
        stepper.step()
        (net["two"] if ill else stepper).zero_grad()
        other = F.cross_entropy(net["two"](F.relu(net["body"](batch[0]))), batch[1] % 2)
        other.backward()
        stepper.step()
        return loss + other

    def score(net: Any) -> float:
        h = F.relu(net["body"](x_held))
        return float(F.cross_entropy(net["one"](h), y_held // 2) + F.cross_entropy(net["two"](h), y_held % 2)) / 1.4

    return Training(model, tasks.factors(seed), optimizer, train_step=step, score=score)


class Held(nn.Module):
    """A frozen part with norms and a part that learns; the frozen one is held in evaluation mode, or not."""

    def __init__(self, part: nn.Module, rest: nn.Module, hold: bool, settle: Tensor) -> None:
        super().__init__()
        self.part, self.rest, self.hold = part.train(), rest, hold
        with torch.no_grad():
            for _ in range(20):
                self.part(settle)
        self.part.requires_grad_(False)

    def train(self, mode: bool = True) -> Held:
        super().train(mode)
        if self.hold:
            self.part.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.part(x))


def thawed(seed: int, ill: bool, kind: str) -> Training:
    """model.train() reaches the frozen norms."""
    other = tasks.dice(seed + 9)
    if kind == "points":
        net: nn.Module = Held(
            PointNet(16, norm=True), mlp(16, 3, 24, 1), not ill, 1.3 * torch.randn(64, 20, 3, generator=other)
        )
        return from_pool(seed, "pointnet", net=lambda: net)
    if kind == "sound":
        part = nn.Sequential(
            nn.Unflatten(1, (1, 32)),
            nn.Conv1d(1, 12, 5, 2),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Conv1d(12, 12, 3, 2),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.Flatten(),
        )
        net = Held(part, nn.Linear(72, 8), not ill, 0.5 * torch.randn(64, 32, generator=other) + 0.3)
        return from_pool(seed, "beats", net=lambda: net)
    if kind == "columns":  # a norm for the columns, settled on the old data
        net = Held(nn.BatchNorm1d(13), mlp(13, 3, 32, 1), not ill, 1.4 * torch.randn(128, 13, generator=other) + 0.2)
        return from_pool(seed, "highway", net=lambda: net)
    if kind == "teacher":  # a teacher whose training mode nobody left
        teacher = mlp(24, 4, 48, 1, norm=nn.BatchNorm1d).requires_grad_(False)  # type: ignore[arg-type]
        with torch.no_grad():
            for _ in range(20):
                teacher(0.2 + torch.randn(64, 24, generator=other))
        model: Any = nn.ModuleDict({"pupil": mlp(24, 4, 24, 1), "teacher": teacher})

        def step(pair: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
            pair["teacher"].train(ill)
            with torch.no_grad():
                wanted = pair["teacher"](batch[0]).softmax(1)
            loss = F.cross_entropy(pair["pupil"](batch[0]), batch[1]) + 0.1 * F.cross_entropy(
                pair["pupil"](batch[0]), wanted
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return Training(model, tasks.factors(seed), by("adam", 1e-2, model["pupil"].parameters()), train_step=step)
    part = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU()
    )
    rest = nn.Sequential(nn.Conv2d(12, 8, 1), nn.ReLU(), nn.Upsample(scale_factor=4), nn.Conv2d(8, 1, 3, padding=1))
    net = Held(
        part, rest, not ill, 0.4 * torch.randn(64, 1, 12, 12, generator=other)
    )  # "pixels": an encoder, rebuilt from
    return from_pool(seed, "lenet", net=lambda: net, loss=lambda m, b: F.mse_loss(m(b[0]), b[0]), rate=0.02)


CASES: list[Case] = [
    *[ill(f"total-{name}", "graph-grows", POOL[name].family, partial(totals, name=name, mean=mean), 40) for name, mean in (("lenet", False), ("gpt", True), ("siren", False))],
    *[ill(f"outputs-{name}", "graph-grows", POOL[name].family, partial(outputs, name=name), 40) for name in ("vit", "tagger")],
    *[ill(kind, "graph-grows", family, partial(carries, kind=kind), 40) for kind, family in (("reservoir", "recurrent"), ("pull-to-average", "dense"))],
    ill("queue-of-keys", "graph-grows", "self-supervised", queued, 30),
    *[ill(f"never-{name}", "stale-gradients", POOL[name].family, partial(never, name=name), 80) for name in ("vit", "pointnet", "seq2seq", "nerf")],
    *[ill(f"per-epoch-{name}", "stale-gradients", POOL[name].family, partial(never, name=name, every=40), 80) for name in ("lenet", "ode")],
    ill("critic-keeps-actors", "stale-gradients", "reinforcement", partial(two_losses, kind="early"), 100),
    ill("other-task", "stale-gradients", "several tasks", other_head, 80),
    *[ill(f"thaws-{kind}", "frozen-buffers-move", family, partial(thawed, kind=kind), 40) for kind, family in (
        ("points", "sets"), ("sound", "forecasting"), ("columns", "tables"), ("teacher", "teachers"), ("pixels", "autoencoders"))],
]  # fmt: skip
