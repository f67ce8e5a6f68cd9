"""Healthy loops that look odd: accumulation, averages, schedules, sixteen bits, large gradients, tiny ones, parts at rest."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, PolynomialLR, ReduceLROnPlateau
from torch.utils.checkpoint import checkpoint

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.generative import RECIPES as MAKERS
from benchmarks.doctor.fourth.parts import Recipe, ce, cook, mse, script
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.vision import RECIPES as EYES


def plain_step(recipe: Recipe, after: Any = None, before: Any = None) -> Any:
    """Return one step of the usual loop, with something before the optimiser's and something after it."""

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        opt.zero_grad(set_to_none=i % 2 == 0)
        loss = recipe.loss(m, batch)
        loss.backward()
        if before:
            before(m)
        opt.step()
        if after:
            after(m, loss, i)
        return loss

    return step


def scheduled(seed: int, recipe: Recipe, way: str, rate: float, rule: Any, by_loss: bool = False) -> Training:
    """A scheduler that steps at each batch; or one that looks at the loss."""
    t = cook(recipe, seed, way=way, rate=rate)
    sched = rule(t.optimizer)
    t.train_step = plain_step(recipe, lambda m, loss, i: sched.step(loss.detach()) if by_loss else sched.step())
    return t


def warm_up(opt: Any) -> Any:
    """Return a rate that starts at a thousandth, and falls as the root of the step does from the 30th on."""
    return LambdaLR(opt, lambda i: min((i + 1) / 30, (30 / (i + 1)) ** 0.5) if i else 1e-3)


def accumulated(seed: int, recipe: Recipe, every: int) -> Training:
    """Losses are divided by their number; the optimiser steps at every so manieth batch."""
    t = cook(recipe, seed)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = recipe.loss(m, batch)
        (loss / every).backward()
        if (i + 1) % every == 0:
            opt.step()
            opt.zero_grad()
        return loss

    t.train_step = step
    return t


def averaged(seed: int, recipe: Recipe, decay: float) -> Training:
    """An exponential average of the weights is kept beside, for evaluation; it never learns."""
    t = cook(recipe, seed)
    shadow = copy.deepcopy(t.model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(m: Any, loss: Any, i: int) -> None:
        for s, p in zip(shadow.state_dict().values(), m.state_dict().values(), strict=True):
            s.copy_(decay * s + (1 - decay) * p if s.is_floating_point() else p)

    t.train_step = plain_step(recipe, update)
    return t


def clipped(seed: int, recipe: Recipe, norm: float, times: float) -> Training:
    """The loss is a sum over the batch: norms of a hundred and more, which are clipped."""
    t = cook(recipe, seed)
    t.train_step = plain_step(
        recipe._replace(loss=lambda m, b: times * recipe.loss(m, b)),
        before=lambda m: nn.utils.clip_grad_norm_(m.parameters(), norm),
    )
    return t


def autocast(seed: int, recipe: Recipe) -> Training:
    """bfloat16 where torch thinks fit, the loss in float32."""
    t = cook(recipe, seed)

    def loss(m: nn.Module, batch: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            out = m(*batch[:-1])
        return F.cross_entropy(out.float(), batch[-1])

    t.loss = loss
    return t


def smooth(seed: int, recipe: Recipe, eps: float, noise: float = 0.0) -> Training:
    """Label smoothing, or labels of which a share is wrong: the loss stays far above zero."""
    t = cook(recipe, seed, loss=lambda m, b: F.cross_entropy(m(*b[:-1]), b[-1], label_smoothing=eps))
    if noise:
        b: Any = t.batches
        g = torch.Generator().manual_seed(seed)
        y = torch.where(torch.rand(b.tensors[1].shape, generator=g) < noise, b.tensors[1].flip(0), b.tensors[1])
        t.batches = Batches((b.tensors[0], y), b.size, seed)
    return t


def groups(seed: int, recipe: Recipe, first: str, low: float, high: float) -> Training:
    """Two rates: a small one for what is there already, a large one for the rest; no decay on biases and norms."""

    def make(net: nn.Module) -> torch.optim.Optimizer:
        named = list(net.named_parameters())
        return torch.optim.AdamW(
            [
                {"params": [p for n, p in named if n.startswith(first)], "lr": low},
                {"params": [p for n, p in named if not n.startswith(first) and p.dim() > 1], "lr": high},
                {"params": [p for n, p in named if not n.startswith(first) and p.dim() < 2], "lr": high, "weight_decay": 0.0},
            ]
        )  # fmt: skip

    return cook(recipe, seed, optimizer=make)


def frozen(seed: int, recipe: Recipe, part: str) -> Training:
    """A part that was trained before is frozen for good, in evaluation mode; the rest learns."""
    before = cook(recipe, seed)
    for batch, _ in zip(before.batches, range(30), strict=False):
        before.optimizer.zero_grad()
        recipe.loss(before.model, batch).backward()
        before.optimizer.step()
    net = before.model
    held = net.get_submodule(part).requires_grad_(False).eval()
    held.train = lambda mode=True: held  # type: ignore[method-assign]
    for name, child in net.named_children():
        if name != part:
            for m in child.modules():
                reset: Any = getattr(m, "reset_parameters", None)
                if reset:
                    reset()
    return cook(recipe, seed, net=lambda: net)


def finetuned(seed: int, recipe: Recipe, rate: float) -> Training:
    """A network that was trained on another's data, at a rate a hundred times smaller."""
    first = finished(seed + 1, recipe, 60)
    return cook(recipe, seed, net=lambda: first.model, rate=rate, way="adamw")


def finished(seed: int, recipe: Recipe, steps: int = 250) -> Training:
    """It was trained to the end before anyone looked: gradients are small, since nothing is left to learn."""
    t = cook(recipe, seed)
    for batch, _ in zip(t.batches, range(steps), strict=False):
        t.optimizer.zero_grad()
        recipe.loss(t.model, batch).backward()
        t.optimizer.step()
    return t


class DeepResidual(nn.Module):
    """Forty blocks without a norm; each branch starts at zero (Fixup, ReZero's cousin)."""

    def __init__(self, depth: int = 40, width: int = 32) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(64, width), nn.Linear(width, 10)
        self.a = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.b = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        for one, two in zip(self.a, self.b, strict=True):
            nn.init.kaiming_normal_(one.weight)  # type: ignore[arg-type]
            one.weight.data.mul_(depth**-0.5)  # type: ignore[operator]
            nn.init.zeros_(two.weight)  # type: ignore[arg-type]
            nn.init.zeros_(two.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Any:
        x = self.inp(x)
        for a, b in zip(self.a, self.b, strict=True):
            x = x + b(F.relu(a(x)))
        return self.out(x)


class KWinners(nn.Module):
    """Only the eight largest of 128 units speak; which, differs from digit to digit."""

    def __init__(self, k: int = 8) -> None:
        super().__init__()
        self.l1, self.l2, self.k = nn.Linear(64, 128), nn.Linear(128, 10), k

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.l1(x))
        return self.l2(h * (h >= h.topk(self.k, 1).values[:, -1:]).float())


def orthogonal_net(depth: int = 30) -> nn.Sequential:
    """Return thirty layers of tanh whose weights start orthogonal."""
    layers: list[nn.Module] = []
    for i in range(depth):
        lin = nn.Linear(64, 64)
        nn.init.orthogonal_(lin.weight, 1.05)
        nn.init.zeros_(lin.bias)
        layers += [lin, nn.Tanh()] if i < depth else []
    return nn.Sequential(*layers, nn.Linear(64, 10))


class Recomputed(nn.Module):
    """Blocks are computed anew in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 48), nn.Linear(48, 10)
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 48), nn.GELU()) for _ in range(3)])

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        for blk in self.blocks:
            x = x + checkpoint(blk, x, use_reentrant=False)
        return self.head(x)


DEEP = Recipe("residual", DeepResidual, digits, ce, "adam", 2e-3)
WINNERS = Recipe("sparse activations", KWinners, digits, ce, "sgd", 0.05)
ORTHOGONAL = Recipe("dense", orthogonal_net, digits, ce, "sgd", 0.01)
REST = Recipe("checkpointing", Recomputed, digits, ce, "adamw", 3e-3)

CASES: list[Case] = [
    script("resnext-polynomial", "schedules", scheduled, recipe=EYES["resnext"], way="sgd", rate=0.1, rule=lambda o: PolynomialLR(o, 60, 0.9)),
    script("conformer-warm-up", "schedules", scheduled, 90, recipe=SERIES["conformer"], way="adam", rate=5e-3, rule=warm_up),
    script("soft-trees-on-plateau", "schedules", scheduled, recipe=TABLES["soft-trees"], way="adam", rate=0.03, rule=lambda o: ReduceLROnPlateau(o, patience=8), by_loss=True),
    script("deeplab-milestones", "schedules", scheduled, recipe=EYES["deeplab"], way="nesterov", rate=0.1, rule=lambda o: MultiStepLR(o, [30, 45])),
    script("rings-cosine-to-zero", "schedules", scheduled, recipe=TABLES["rings"], way="adam", rate=0.02, rule=lambda o: CosineAnnealingLR(o, 60)),
    script("convlstm-accumulates-4", "accumulation", accumulated, 120, recipe=EYES["convlstm"], every=4),
    script("two-tower-accumulates-2", "accumulation", accumulated, 100, recipe=TABLES["two-tower"], every=2),
    script("dncnn-averaged", "averages", averaged, recipe=EYES["dncnn"], decay=0.99),
    script("entity-embeddings-averaged", "averages", averaged, recipe=TABLES["entity-embeddings"], decay=0.9),
    script("attentive-gru-summed", "clipping", clipped, recipe=SERIES["attentive-gru"], norm=1.0, times=300.0),
    script("splines-summed", "clipping", clipped, recipe=TABLES["splines"], norm=50.0, times=64.0),
    script("char-cnn-autocast", "mixed precision", autocast, recipe=SERIES["char-cnn"]),
    script("cbam-autocast", "mixed precision", autocast, recipe=EYES["cbam"]),
    script("cbam-smoothed", "label smoothing", smooth, recipe=EYES["cbam"], eps=0.2),
    script("qrnn-smoothed", "label smoothing", smooth, recipe=SERIES["qrnn"], eps=0.1),
    script("rings-noisy-labels", "noisy labels", smooth, 80, recipe=TABLES["rings"], eps=0.0, noise=0.3, falls=False),
    script("conformer-two-rates", "fine-tuning", groups, 80, recipe=SERIES["conformer"], first="inp", low=1e-5, high=3e-3),
    script("wide-deep-two-rates", "tables", groups, 80, recipe=TABLES["wide-deep"], first="wide", low=0.1, high=5e-3),
    script("deeplab-frozen-entry", "fine-tuning", frozen, recipe=EYES["deeplab"], part="entry"),
    script("deepconvlstm-fine-tuned", "fine-tuning", finetuned, 40, recipe=SERIES["deepconvlstm"], rate=5e-5, falls=False),
    script("cross-network-finished", "trained to the end", finished, 60, recipe=TABLES["cross-network"], falls=False),
    script("segnet-finished", "trained to the end", finished, 50, recipe=EYES["segnet"], falls=False),
    script("fixup-40-blocks", "residual", lambda seed: cook(DEEP, seed), 80),
    script("fixup-40-blocks-nesterov", "residual", lambda seed: cook(DEEP, seed, way="nesterov", rate=0.01), 80),
    script("k-winners", "sparse activations", lambda seed: cook(WINNERS, seed)),
    script("orthogonal-tanh-30", "dense", lambda seed: cook(ORTHOGONAL, seed), 80),
    script("recomputed-blocks", "checkpointing", lambda seed: cook(REST, seed)),
    script("tiny-loss-flow", "flows", lambda seed: cook(MAKERS["planar-flow"], seed, loss=lambda m, b: 1e-4 * m(*b))),
    script("rents-in-their-unit-huber", "tables", lambda seed: cook(TABLES["additive"], seed, data=lambda s: data.rents(s, shift=3.0), loss=lambda m, b: F.smooth_l1_loss(m(b[0]), b[1], beta=0.3)), 60),
    script("float64-trees", "trees", lambda seed: cook(TABLES["soft-trees"], seed, net=lambda: TABLES["soft-trees"].net().double(), loss=lambda m, b: mse(m, [t.double() for t in b]))),
]  # fmt: skip
