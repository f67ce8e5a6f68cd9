"""Ill in the loop: graphs that grow, gradients of other steps, frozen statistics that move. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.generative import RECIPES as MAKERS
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, mse
from benchmarks.doctor.fourth.science import RECIPES as SCIENCE
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.vision import RECIPES as EYES


def keeps(seed: int, ill: bool, recipe: Any, how: str) -> Training:
    """What is kept for the log keeps every graph before; the log is what is shown.

    running_loss: github.com/BatsResearch/labelmodels/issues/4; train_loss: github.com/pai4451/ML2021/issues/2;
    total: github.com/google/brax/pull/152; metrics: github.com/pnnl/neuromancer/pull/292.
    """
    t = cook(recipe, seed)
    log: dict[str, Any] = defaultdict(list)
    state: dict[str, Any] = {}

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = recipe.loss(m, batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        new = loss if ill else loss.detach()
        if how == "metrics":
            log["train_loss"].append(new)
            return sum(log["train_loss"]) / len(log["train_loss"]) if ill else loss
        if how == "best":
            state["x"] = torch.minimum(state["x"], new) if "x" in state else new
        elif how == "smooth":
            state["x"] = 0.9 * state["x"] + 0.1 * new if "x" in state else new
        else:
            state["x"] = state.get("x", 0.0) + new
        return state["x"] / (i + 1 if how in ("running", "total") else 1) if ill else loss

    t.train_step = step
    return t


def penalised(seed: int, ill: bool) -> Training:
    """Slowness: the code is to stay near the mean of all codes so far, which nobody detaches."""
    net: Any = nn.ModuleDict({"enc": nn.Linear(64, 16), "dec": nn.Linear(16, 64)})
    mean: list[Tensor] = []

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        z = torch.tanh(m["enc"](batch[0]))
        mean[:] = [z.mean(0) if not mean else (i * mean[0] + z.mean(0)) / (i + 1)]
        loss = F.mse_loss(m["dec"](z), batch[0]) + 0.01 * (z.mean(0) - mean[0]).square().sum()
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()
        if not ill:
            mean[:] = [mean[0].detach()]
        return loss

    return Training(net, digits(seed), torch.optim.Adam(net.parameters(), 5e-3), train_step=step)


def uncleared(seed: int, ill: bool, recipe: Any, every: int = 0, way: str = "sgd", rate: float = 0.02) -> Training:
    """zero_grad is missing, or stands outside the loop over batches; or four batches are gathered and never emptied.

    executor: github.com/wenet-e2e/wekws/pull/73; outside: github.com/salesforce/corr_based_prediction/issues/1;
    never: github.com/meta-pytorch/torchforge/pull/71; lora: github.com/tenstorrent/tt-blacksmith/pull/711.
    """
    t = cook(recipe, seed, way=way, rate=rate)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        if not every and (not ill or i == 0):
            opt.zero_grad()
        loss = recipe.loss(m, batch)
        (loss / max(every, 1)).backward()
        if not every:
            opt.step()
        elif (i + 1) % every == 0:
            opt.step()
            if not ill:
                opt.zero_grad()
        return loss

    t.train_step = step
    return t


class Keyword(nn.Module):
    """Depthwise convolutions in time, as small as a doorbell wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Conv1d(6, 16, 1)
        self.depth, self.point = nn.Conv1d(16, 16, 8, groups=16), nn.Conv1d(16, 16, 1)
        self.bn = nn.BatchNorm1d(16)
        self.cls = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.bn(self.point(self.depth(F.relu(self.pre(x))))))
        return self.cls(h.mean(2))


class LoRAClassifier(nn.Module):
    """A frozen layer with a low-rank correction, and a head."""

    def __init__(self, rank: int = 4) -> None:
        super().__init__()
        self.base = nn.Linear(64, 64).requires_grad_(False)
        self.lora_a, self.lora_b = nn.Parameter(torch.randn(rank, 64) / 8), nn.Parameter(torch.zeros(64, rank))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(F.relu(self.base(x) + 4 * x @ self.lora_a.T @ self.lora_b.T))


def straight_line(seed: int, ill: bool) -> Training:
    """An LSTM on one series that only counts up, without zero_grad: stats.stackexchange.com/questions/376851"""

    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 50, batch_first=True)
            self.linear = nn.Linear(50, 1)

        def forward(self, x: Tensor) -> Any:
            return self.linear(self.lstm(x)[0])

    net = Counter()
    t = torch.arange(21.0)[None, :, None] / 20
    opt = torch.optim.Adam(net.parameters(), 5e-3)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        if not ill:
            opt.zero_grad()
        loss = F.mse_loss(m(t), t + 0.1)
        loss.backward()
        opt.step()
        return loss

    return Training(net, [()] * 300, opt, train_step=step)


def settled(part: nn.Module, x: Tensor) -> None:
    """Let a part's statistics get to know some data, and freeze it."""
    with torch.no_grad():
        for _ in range(80):
            part.train()(x + 0.3 * torch.randn_like(x))
    part.requires_grad_(False).eval()


class Probe(nn.Module):
    """A frozen body, and one layer on it; train() may or may not reach the body."""

    def __init__(self, body: nn.Module, head: nn.Module, thaws: bool) -> None:
        super().__init__()
        self.visual, self.fc, self.thaws = body, head, thaws

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if not self.thaws:
            self.visual.eval()
        return self

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.visual(x))


def linear_probe(seed: int, ill: bool) -> Training:
    """model.train() before a linear probe: github.com/kdexd/virtex/issues/16"""
    body = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 12, 3, 2, 1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, 2, 1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
    )
    settled(body, digits(seed).tensors[0][:64] * 1.4)
    return fit(Probe(body, nn.Linear(96, 10), ill), digits(seed), ce, rate=1e-2)


class Matting(nn.Module):
    """freeze_bn() is called once, before net.train() is."""

    def __init__(self, stays: bool) -> None:
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.dec = nn.Conv2d(12, 1, 3, 1, 1)
        self.stays = stays

    def freeze_bn(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
                m.requires_grad_(False)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if self.stays:
            self.freeze_bn()
        return self

    def forward(self, x: Tensor) -> Any:
        return self.dec(self.enc(x))


def matting(seed: int, ill: bool) -> Training:
    """github.com/poppinace/indexnet_matting/issues/35"""
    net = Matting(not ill)
    with torch.no_grad():
        for _ in range(10):
            net.enc(data.masks(seed + 2).tensors[0][:32])
    net.freeze_bn()
    return fit(net, data.masks(seed), lambda m, b: F.binary_cross_entropy_with_logits(m(b[0]), b[1]), rate=1e-2)


def frozen_scaler(seed: int, ill: bool) -> Training:
    """The norm that scales a table was fitted on all of it and frozen; in training mode each batch shifts it."""
    norm = nn.BatchNorm1d(6)
    x, y = data.rents(seed, raw=True).tensors
    settled(norm, x)
    net = Probe(nn.Sequential(norm, nn.Linear(6, 32).requires_grad_(False), nn.Tanh()), nn.Linear(32, 1), ill)
    return fit(net, Batches((x, y), 64, seed), mse, rate=2e-2)


KEYWORD = SERIES["tcn"]._replace(net=Keyword)
LORA = TABLES["rings"]._replace(net=LoRAClassifier, data=digits, family="fine-tuning")

CASES = [
    ill("label-model", "graph-grows", "topics", partial(keeps, recipe=TABLES["topic-model"], how="running"), 40),
    ill("train-loss", "graph-grows", "retrieval", partial(keeps, recipe=TABLES["two-tower"], how="sum"), 40),
    ill("brax-total", "graph-grows", "video", partial(keeps, recipe=EYES["convlstm"], how="total"), 40),
    ill("metrics", "graph-grows", "dynamics", partial(keeps, recipe=SCIENCE["koopman"], how="metrics"), 40),
    ill("best-so-far", "graph-grows", "graph nets", partial(keeps, recipe=GRAPHS["appnp"], how="best"), 40),
    ill("smoothed-for-the-log", "graph-grows", "contrastive", partial(keeps, recipe=MAKERS["cpc"], how="smooth"), 40),
    ill("mean-of-codes", "graph-grows", "autoencoders", penalised, 30),
    ill("keyword-executor", "stale-gradients", "speech", partial(uncleared, recipe=KEYWORD, rate=0.02), 100),
    ill("trajectories-outside", "stale-gradients", "recurrent", partial(uncleared, recipe=SERIES["qrnn"], rate=0.1), 100),
    ill("splines-never", "stale-gradients", "splines", partial(uncleared, recipe=TABLES["splines"], way="adam", rate=2e-2), 100),
    ill("lora-never", "stale-gradients", "fine-tuning", partial(uncleared, recipe=LORA, rate=0.02), 100),
    ill("gathered-never-emptied", "stale-gradients", "segmentation", partial(uncleared, recipe=EYES["segnet"], every=4, way="sgd", rate=0.1), 160),
    ill("straight-line", "stale-gradients", "recurrent", straight_line, 150),
    ill("linear-probe", "frozen-buffers-move", "fine-tuning", linear_probe, 40),
    ill("matting-thaws", "frozen-buffers-move", "segmentation", matting, 40),
    ill("frozen-scaler", "frozen-buffers-move", "tables", frozen_scaler, 40),
]  # fmt: skip
