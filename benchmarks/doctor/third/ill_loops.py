"""Ill in the loop: graphs that grow, gradients of another step or loss, frozen statistics that move. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, left_over, rebuilt, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_nets import gather, solid
from benchmarks.doctor.third.pool import POOL, take
from benchmarks.doctor.third.tasks import Net


def kept(seed: int, ill: bool, name: str, kind: str) -> Training:
    """What is kept for the log keeps its graph: a share of the epoch's loss, a list of losses, or a regulariser's history.

    `share`: github.com/jostmey/NakedAttention/issues/1.
    """
    well, log = POOL[name], []  # type: ignore[var-annotated]

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = well.loss(model, batch)
        loss.backward()
        optimizer.step()
        new = loss if ill else loss.detach()
        if kind == "share":
            log[:] = [new / 40 + (log[0] if log else 0.0)]
            return loss.detach() + 0.0 * log[0] if not ill else 0.0 * log[0] + loss
        log.append(new)
        return torch.stack(log).mean() if ill else loss

    training = take(seed, name)
    return Training(training.model, training.batches, training.optimizer, train_step=step)


def slow_copy(seed: int, ill: bool, name: str) -> Training:
    """A mean teacher whose average of weights is not detached: each step's weights hang on all before."""
    well = POOL[name]
    slow: dict[str, Tensor] = {}

    def loss(model: nn.Module, batch: Any) -> Tensor:
        for key, p in model.named_parameters():
            new = p if ill else p.detach()
            slow[key] = slow[key].lerp(new, 0.1) if key in slow else new.clone()
        noisy = (batch[0] + 0.1 * torch.randn_like(batch[0]), *batch[1:])
        return well.loss(model, batch) + 0.1 * F.mse_loss(
            model(noisy[0]), torch.func.functional_call(model, slow, (batch[0],))
        )

    return take(seed, name, loss=loss)


def own_mean(seed: int, ill: bool) -> Training:
    """A norm of one's own, whose moving mean keeps the graph of every batch; `retain_graph=True` made torch content."""
    mean: list[Tensor] = [torch.zeros(24)]

    def run(m: Any, x: Tensor) -> Tensor:
        h = m.one(x)
        mean[0] = 0.9 * mean[0] + 0.1 * (h if ill else h.detach()).mean(0)
        return m.out(F.relu(h - mean[0]))

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = classify(model, batch)
        loss.backward(retain_graph=ill)
        optimizer.step()
        return loss

    net = Net(run, one=nn.Linear(2, 24), out=nn.Linear(24, 3))
    return Training(net, tasks.spirals(seed), by("adam", 1e-2, net.parameters()), train_step=step)


def half_zeroed(seed: int, ill: bool) -> Training:
    """Two optimisers on one loss, of which only the head's is zeroed: github.com/Hsintien-Ng/idinvert_pytorch-reproduced/issues/1."""
    net: Any = nn.ModuleDict({"body": mlp(2, 24, 48, 2), "head": nn.Linear(24, 3)})
    pair = [torch.optim.SGD(net["body"].parameters(), 0.1, 0.9), torch.optim.Adam(net["head"].parameters(), 1e-2)]

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        for optimizer in optimizers[1 if ill else 0 :]:
            optimizer.zero_grad()
        loss = F.cross_entropy(model["head"](F.relu(model["body"](batch[0]))), batch[1])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return Training(net, tasks.spirals(seed), pair, train_step=step)


def closure(seed: int, ill: bool) -> Training:
    """LBFGS whose closure does not zero."""
    net = mlp(10, 1, 16, 1, nn.Tanh)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        def once() -> Tensor:
            if not ill:
                optimizer.zero_grad()
            loss = squared(model, batch)
            loss.backward()
            return loss

        return torch.as_tensor(optimizer.step(once)).detach()

    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.3, max_iter=3)
    return Training(net, tasks.friedman(seed, 1024), optimizer, train_step=step, score=left_over(tasks.friedman(seed)))


def seldom(seed: int, ill: bool, name: str, every: int, copied: bool = False) -> Training:
    """Gradients are zeroed at every so manieth step, though each batch has its step; or a copy's are zeroed instead."""
    well = POOL[name]
    other = well.net()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        if ill and copied:
            other.zero_grad()
        elif not ill or number % every == 0:
            optimizer.zero_grad()
        loss = well.loss(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    training = take(seed, name)
    return Training(training.model, training.batches, training.optimizer, train_step=step)


class Rivals(pl.LightningModule):
    """Optimisation by hand in Lightning without a zero_grad, as in github.com/Lightning-AI/pytorch-lightning/issues/557."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong, self.automatic_optimization = wrong, False
        self.guess, self.rival = mlp(2, 3, 48, 2), mlp(3, 1, 16, 1)

    def training_step(self, batch: Any, number: int) -> Any:
        one, two = self.optimizers()  # type: ignore[misc, union-attr]
        out = self.guess(batch[0])
        if not self.wrong:
            one.zero_grad()
        loss = F.cross_entropy(out, batch[1])
        self.manual_backward(loss)
        one.step()
        two.zero_grad()
        self.manual_backward(F.mse_loss(self.rival(out.detach()), batch[1][:, None].float()))
        two.step()
        return {"loss": loss.detach()}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.guess.parameters(), 0.1, 0.9), torch.optim.Adam(self.rival.parameters(), 1e-3)


def rivals(seed: int, ill: bool) -> Training:
    """Return the training of `Rivals`."""
    return Training(Rivals(ill), tasks.spirals(seed))


class Held(nn.Module):
    """A frozen part that was trained before, in evaluation mode to stay, or only until the next train()."""

    def __init__(self, part: nn.Module, rest: nn.Module, settle: Any, stays: bool) -> None:
        super().__init__()
        self.part, self.rest, self.stays = part, rest, stays
        with torch.no_grad():
            for _ in range(15):
                part(*settle)
        part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Held:
        super().train(mode)
        if self.stays:
            self.part.eval()
        return self

    def forward(self, *x: Tensor) -> Tensor:
        return self.rest(self.part(*x))


class Tuned(pl.LightningModule):
    """A frozen backbone within a Lightning module, whose loop calls train()."""

    def __init__(self, stays: bool) -> None:
        super().__init__()
        part = nn.Sequential(nn.Linear(2, 24), nn.BatchNorm1d(24), nn.ReLU())
        self.net = Held(part, nn.Linear(24, 3), (1.5 * torch.randn(64, 2) + 0.3,), stays)
        self.net.part.train()

    def training_step(self, batch: Any, number: int) -> Tensor:
        return classify(self.net.train(), batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], 1e-2)


def thawed(seed: int, ill: bool, kind: str) -> Training:
    """`solid`: github.com/lightly-ai/lightly/issues/1438; `graph`: github.com/pgniewko/gt-pyg/issues/112; `perceived`: a loss on a frozen network's features."""
    if kind == "lightning":
        return Training(Tuned(not ill), tasks.spirals(seed))
    if kind == "solid":
        part = solid()[:-1]  # type: ignore[index]
        return take(
            seed, "solid", net=lambda: Held(part, nn.Linear(128, 3), (1.5 * torch.randn(32, 1, 8, 8, 8),), not ill)
        )
    if kind == "graph":

        def run(m: Any, x: Tensor, bonds: Tensor, owner: Tensor) -> Tensor:
            h = F.relu(m.norm(m.into(x)))
            return gather(h + gather(h[bonds[0]], bonds[1], len(h)), owner, 16)

        part = Net(run, into=nn.Linear(4, 32), norm=nn.BatchNorm1d(32))
        return take(
            seed,
            "molecules",
            net=lambda: Held(part, nn.Linear(32, 1), POOL["molecules"].make(seed + 5)[0][:3], not ill),
        )
    eye = nn.Sequential(nn.Conv1d(1, 12, 7, 2), nn.BatchNorm1d(12), nn.ReLU())
    held = Held(eye, nn.Identity(), (1.4 * torch.randn(64, 1, 48),), not ill)
    net = Net(
        lambda m, x: m.coder(x),
        coder=nn.Sequential(nn.Conv1d(1, 12, 8, 4, 2), nn.GELU(), nn.ConvTranspose1d(12, 1, 8, 4, 2)),
        eye=held,
    )
    return take(
        seed,
        "separable",
        net=lambda: net,
        loss=lambda m, b: rebuilt(m, b) + 0.1 * F.mse_loss(m.eye(m(b[0])), m.eye(b[0]).detach()),
    )


CASES: list[Case] = [
    *[ill(f"keeps-{kind}-{name}", "graph-grows", POOL[name].family, partial(kept, name=name, kind=kind), 40) for kind, name in (("share", "perceiver"), ("share", "reviews"), ("list", "molecules"))],
    *[ill(f"slow-copy-{name}", "graph-grows", POOL[name].family, partial(slow_copy, name=name), 40) for name in ("arms", "operator")],
    ill("own-moving-mean", "graph-grows", "dense", own_mean, 40),
    ill("half-zeroed", "stale-gradients", "dense", half_zeroed, 80),
    ill("closure-without-zero", "stale-gradients", "closures", closure, 30, "step-too-large"),
    ill("never-in-lightning", "stale-gradients", "lightning", rivals, 80),
    *[ill(f"seldom-{name}", "stale-gradients", POOL[name].family, partial(seldom, name=name, every=every, copied=copied), 80) for name, every, copied in (("brackets", 20, False), ("sorter", 25, False), ("glu", 1, True), ("text", 1, True))],
    *[ill(f"unfrozen-norm-{kind}", "frozen-buffers-move", family, partial(thawed, kind=kind), 40) for kind, family in (("solid", "convolutional"), ("graph", "graph nets"), ("perceived", "autoencoders"), ("lightning", "lightning"))],
]  # fmt: skip
