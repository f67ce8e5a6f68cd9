"""Ill in their steps: too large, too small, to and fro; norms of too few. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Training, ill
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.generative import RECIPES as MAKERS
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import Recipe, cook, error, mse, tokens_ce, unexplained
from benchmarks.doctor.fourth.science import RECIPES as SCIENCE
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.tables import RECIPES as TABLES
from benchmarks.doctor.fourth.vision import RECIPES as EYES


def rated(seed: int, ill: bool, recipe: Recipe, bad: float, good: float = 0.0, way: str = "") -> Training:
    """Only the rate differs."""
    return cook(recipe, seed, way=way or recipe.way, rate=bad if ill else good or recipe.rate)


class Tagger(nn.Module):
    """An LSTM both ways over letters, a tag for each."""

    def __init__(self) -> None:
        super().__init__()
        self.char = nn.Embedding(27, 20)
        self.lstm = nn.LSTM(20, 24, bidirectional=True, batch_first=True)
        self.proj = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Any:
        return self.proj(self.lstm(self.char(x))[0])


def vowels(seed: int) -> Batches:
    """Return letters, and whether each is a vowel, after a vowel, or neither."""
    x = data.names(seed).tensors[0]
    vowel = (x[..., None] == torch.tensor([1, 5, 9, 15, 21])).any(-1)
    after = torch.cat([torch.zeros_like(vowel[:, :1]), vowel[:, :-1]], 1)
    return Batches((x, torch.where(vowel, 0, torch.where(after, 1, 2))), 32, seed)


class AutoMLP(nn.Module):
    """What a search for architectures made: wide layers with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential()
        for i, (a, b) in enumerate([(6, 128), (128, 128)]):
            self.net.add_module(f"dense{i}", nn.Linear(a, b))
            self.net.add_module(f"relu{i}", nn.ReLU())
        self.net.add_module("out", nn.Linear(128, 1))

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class Speech(nn.Module):
    """Convolutions and attention with norms after the sums; a duration for each phoneme."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.phoneme = nn.Embedding(27, d)
        self.attn = nn.ModuleList([nn.MultiheadAttention(d, 2, batch_first=True) for _ in range(3)])
        self.conv = nn.ModuleList([nn.Conv1d(d, d, 3, padding=1) for _ in range(3)])
        self.norm = nn.ModuleList([nn.LayerNorm(d) for _ in range(6)])
        self.duration = nn.Linear(d, 1)

    def forward(self, x: Tensor) -> Any:
        h = self.phoneme(x)
        for i in range(3):
            h = self.norm[2 * i](h + self.attn[i](h, h, h, need_weights=False)[0])
            h = self.norm[2 * i + 1](h + F.relu(self.conv[i](h.transpose(1, 2))).transpose(1, 2))
        return self.duration(h)[..., 0]


def durations(seed: int) -> Batches:
    """Return phonemes, and how long each takes: longer before a vowel, of variance about 1."""
    x = data.names(seed).tensors[0]
    long = (x % 5 == 0).float()
    y = long - 0.8 * torch.cat([long[:, 1:], torch.zeros_like(long[:, :1])], 1) + 0.1 * (x.float() - 13) / 7
    return Batches((x, 2 * y), 32, seed)


TAGGER = Recipe("recurrent", Tagger, vowels, tokens_ce, "adam", 1e-2)
AUTO = Recipe("tables", AutoMLP, partial(data.rents, scale=2.0, shift=1.0), mse, "sgd", 1e-3)
SPEECH = Recipe("speech", Speech, durations, mse, "adam", 1e-3)


def agents(seed: int, ill: bool) -> Training:
    """Rates of actor and critic: github.com/isp1tze/MAProj/issues/3"""
    net: Any = nn.ModuleDict(
        {
            "actor": nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 2), nn.Tanh()),
            "critic": nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 1)),
        }
    )
    rate = 1e-6 if ill else 1e-2
    opts = [torch.optim.Adam(net["actor"].parameters(), rate), torch.optim.Adam(net["critic"].parameters(), rate)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        s = torch.randn(96, 8)
        a = 2 * torch.rand(96, 2) - 1
        reward = 2 - 3 * (a - torch.tanh(s[:, :2])).square().sum(1, keepdim=True)
        critic_loss = F.mse_loss(m["critic"](torch.cat([s, a], 1)), reward)
        opts[1].zero_grad()
        critic_loss.backward()
        opts[1].step()
        actor_loss = -m["critic"](torch.cat([s, m["actor"](s)], 1)).mean()
        opts[0].zero_grad()
        actor_loss.backward()
        opts[0].step()
        return critic_loss

    return Training(net, repeat(()), opts, train_step=step)


def built(seed: int, ill: bool, recipe: Recipe, bad: Any, good: Any) -> Training:
    """Only the optimiser differs."""
    return cook(recipe, seed, optimizer=bad if ill else good)


def weighed(seed: int, ill: bool, recipe: Recipe, weight: float) -> Training:
    """The loss is multiplied by a tiny weight, and the optimiser minds; what is shown is the loss without it."""

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = recipe.loss(m, batch)
        opt.zero_grad()
        ((weight if ill else 1.0) * loss).backward()
        opt.step()
        return loss

    return cook(recipe, seed, train_step=step)


def ramp(seed: int, ill: bool, recipe: Recipe, rule: Any) -> Training:
    """A schedule by step."""
    t = cook(recipe, seed)
    sched = torch.optim.lr_scheduler.LambdaLR(t.optimizer, rule if ill else lambda i: 1.0)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = recipe.loss(m, batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        sched.step()
        return loss

    t.train_step = step
    return t


def valley(seed: int, ill: bool) -> Training:
    """An autoregression on all windows at once, at a rate that leaps across the valley and back at each step."""
    x, y = data.demand(seed).tensors
    net = nn.Linear(36, 6)
    steepest = float(torch.linalg.eigvalsh(x.T @ x / len(x))[-1]) * 2 / 6
    rate = (1.995 if ill else 0.7) / steepest
    return Training(net, [(x, y)] * 300, torch.optim.SGD(net.parameters(), rate), mse)


class Pooled(nn.Module):
    """A convolution, a pool over all places, and a batch norm over what is left: two numbers per channel in a batch of two."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 24, 9, 3)
        self.fc1, self.bn, self.fc2 = nn.Linear(24, 32), nn.BatchNorm1d(32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Any:
        return self.fc2(F.relu(self.bn(self.fc1(F.relu(self.conv(x)).mean(2)))))


class Normed(nn.Module):
    """A regression with a batch norm after each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(6, 48), nn.BatchNorm1d(48)
        self.fc2, self.bn2 = nn.Linear(48, 48), nn.BatchNorm1d(48)
        self.out = nn.Linear(48, 1)

    def forward(self, x: Tensor) -> Any:
        return self.out(F.elu(self.bn2(self.fc2(F.elu(self.bn1(self.fc1(x)))))))


def pairs(seed: int, ill: bool, kind: str) -> Training:
    """Batches of two: statistics of two rows are not those of all. github.com/pytorch/pytorch/issues/19916"""
    size = 2 if ill else 48
    if kind == "sensors":
        return fit(
            Pooled(),
            data.activity(seed, size),
            lambda m, b: F.cross_entropy(m(b[0]), b[1]),
            rate=5e-3,
            score=error(data.activity(seed, 256)),
        )
    if kind == "flats":
        return fit(Normed(), data.rents(seed, size), mse, rate=5e-3, score=unexplained(data.rents(seed, 256)))
    held = next(iter(data.adult(seed, 512)))
    weight = torch.where(held[2] > 0, 0.5 / held[2].mean(), 0.5 / (1 - held[2].mean()))

    def score(m: nn.Module) -> float:
        with torch.no_grad():
            return float((weight * ((m(held[0], held[1]) > 0).float() != held[2]).float()).mean())

    return cook(TABLES["entity-embeddings"], seed, data=partial(data.adult, size=size), score=score)


SGD = partial(torch.optim.SGD, momentum=0.9)

CASES = [
    # github.com/guillaumegenthial/sequence_tagging/issues/47: the rate is too large by far
    ill("tagger", "step-too-large", "recurrent", partial(rated, recipe=TAGGER, bad=5.0), 80),
    # github.com/keras-team/autokeras/pull/571: the rate was too large for a squared error
    ill("searched", "step-too-large", "tables", partial(rated, recipe=AUTO, bad=0.4), 80, "dead-units"),
    # github.com/xcmyz/FastSpeech/issues/37
    ill("speech", "step-too-large", "speech", partial(rated, recipe=SPEECH, bad=0.1), 80),
    ill("patches", "step-too-large", "forecasting", partial(rated, recipe=SERIES["patchtst"], bad=0.5), 60),
    ill("turning-facts", "step-too-large", "knowledge graphs", partial(rated, recipe=GRAPHS["rotat-e"], bad=10.0), 60, "oscillation"),
    ill("boxes", "step-too-large", "detection", partial(rated, recipe=EYES["box"], bad=1.0), 60, "saturated-output"),
    ill("prototypes", "step-too-large", "self-supervised", partial(rated, recipe=MAKERS["swav"], bad=3.0, good=0.05, way="sgd"), 60, "oscillation"),
    ill("linked-fields", "step-too-large", "graph nets", partial(rated, recipe=GRAPHS["graph-transformer"], bad=2.0, good=0.02, way="sgd"), 60),
    ill("loads", "step-too-large", "physics", partial(rated, recipe=SCIENCE["deeponet"], bad=0.5, good=0.02, way="sgd"), 60),
    ill("sixty-four-workers", "step-too-large", "tables", partial(rated, recipe=TABLES["additive"], bad=0.64 * 4), 60, "dead-units"),
    ill("agents", "step-too-small", "reinforcement", agents, 100),
    ill("adadelta-with-adams-rate", "step-too-small", "text", partial(built, recipe=SERIES["char-cnn"], bad=lambda m: torch.optim.Adadelta(m.parameters(), lr=1e-3), good=lambda m: torch.optim.Adadelta(m.parameters(), lr=1.0)), 100),
    ill("huge-epsilon", "step-too-small", "forecasting", partial(built, recipe=SERIES["gated-residual"], bad=lambda m: torch.optim.Adam(m.parameters(), 3e-3, eps=100.0), good=lambda m: torch.optim.Adam(m.parameters(), 3e-3)), 80),
    ill("tiny-weight", "step-too-small", "segmentation", partial(weighed, recipe=EYES["deeplab"], weight=1e-5), 60),
    ill("seventh-decimal", "step-too-small", "autoencoders", partial(rated, recipe=MAKERS["conditional-vae"], bad=1e-7), 60),
    ill("bodies", "step-too-small", "molecules", partial(rated, recipe=GRAPHS["egnn"], bad=1e-6), 60),
    ill("rate-and-decay-swapped", "step-too-small", "dynamics", partial(built, recipe=SCIENCE["state-space-vae"], bad=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-6, weight_decay=5e-3), good=lambda m: torch.optim.AdamW(m.parameters(), lr=5e-3, weight_decay=1e-6)), 60),
    ill("warms-up-for-ever", "step-too-small", "attention", partial(ramp, recipe=SERIES["memory-network"], rule=lambda i: (i + 1) / 400_000), 120),
    ill("valley", "oscillation", "forecasting", valley, 80, "step-too-large"),
    ill("triangles", "oscillation", "ensembles", partial(ramp, recipe=SCIENCE["batch-ensemble"], rule=lambda i: 1 + 12 * (1 - abs((i % 10) / 5 - 1))), 80, "step-too-large"),
    ill("heavy-ball", "oscillation", "tables", partial(built, recipe=TABLES["monotonic"], bad=lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.99), good=lambda m: torch.optim.SGD(m.parameters(), 0.02, momentum=0.9)), 80, "step-too-large"),
    ill("pairs-of-sensors", "batchnorm-tiny-batch", "convolutional", partial(pairs, kind="sensors"), 150),
    ill("pairs-of-flats", "batchnorm-tiny-batch", "tables", partial(pairs, kind="flats"), 150),
    ill("pairs-of-people", "batchnorm-tiny-batch", "tables", partial(pairs, kind="people"), 150),
]  # fmt: skip
