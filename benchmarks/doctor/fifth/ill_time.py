"""Ill in time: memories that fade, states that swell, and graphs that nobody lets go of."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, recall, tail, waves
from benchmarks.doctor.fifth.ill_parts import ce, dice, fit, keep, mse, rows

CASES: list[Case] = []


@keep(CASES, "padding-after-the-text", "vanishing-time", "text", 150)
def padding(seed: int, ill: bool) -> Training:
    """After discuss.pytorch.org/t/10263: short texts are padded to the longest, the LSTM's last output is used.

    It has read some sixty zeros since the last word. Cure: pack_padded_sequence.
    """
    g = dice(seed)
    words = torch.randint(1, 30, (512, 80), generator=g)
    lengths = torch.randint(6, 16, (512,), generator=g)
    words[torch.arange(80) >= lengths[:, None]] = 0
    y = ((words > 0) & (words < 11)).sum(1).mul(3).gt(lengths).long()

    class Sentiment(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(30, 24, padding_idx=0)
            self.lstm, self.head = nn.LSTM(24, 32, batch_first=True), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Any:
            h = self.embed(x)
            if ill:
                return self.head(self.lstm(h)[0][:, -1])
            packed = pack_padded_sequence(h, (x > 0).sum(1), batch_first=True, enforce_sorted=False)
            return self.head(self.lstm(packed)[1][0][0])

    return fit(Sentiment(), rows(seed, words, y, size=32), ce, rate=1e-2)


@keep(CASES, "sigmoid-in-the-cell", "vanishing-time", "recurrent", 120)
def sigmoid_cell(seed: int, ill: bool) -> Training:
    """A cell written by hand in a first lesson: h = sigmoid(W x + U h). Its slope is a quarter at most.

    Symptom: it learns nothing that stands ten steps back. Cure: tanh and an orthogonal U.
    """

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x2h, self.h2h, self.head = nn.Linear(3, 32), nn.Linear(32, 32), nn.Linear(32, 2)
            if not ill:
                nn.init.orthogonal_(self.h2h.weight)

        def forward(self, x: Tensor) -> Any:
            h = x.new_zeros(len(x), 32)
            for now in x.unbind(1):
                h = (torch.sigmoid if ill else torch.tanh)(self.x2h(now) + self.h2h(h))
            return self.head(h)

    return fit(Cell(), recall(seed, length=15), ce, rate=5e-3)


@keep(CASES, "dropout-on-the-state", "vanishing-time", "recurrent", 200)
def state_dropout(seed: int, ill: bool) -> Training:
    """nn.Dropout is put on the state inside the loop over steps: of each unit's memory 0.7 ** 40 is left.

    Symptom: recent inputs are learned, old ones not. Cure: dropout on the inputs (or one mask for all steps).
    """

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head, self.drop = nn.GRUCell(3, 32), nn.Linear(32, 2), nn.Dropout(0.3)

        def forward(self, x: Tensor) -> Any:
            h = x.new_zeros(len(x), 32)
            for now in x.unbind(1):
                h = self.drop(self.cell(now, h)) if ill else self.cell(now, h)
            return self.head(self.drop(h))

    net = Cell()
    net.cell.bias_ih.data[32:64] = 2.5
    return fit(net, recall(seed, length=40), ce, rate=1e-2)


@keep(CASES, "positive-recurrence", "exploding-time", "recurrent", 100)
def positive(seed: int, ill: bool) -> Training:
    """nn.init.uniform_(U, 0, 0.1) in a ReLU network: all weights push the same way, a state grows 1.6-fold a step.

    Cure: the identity (IRNN).
    """
    net: Any = nn.ModuleDict({"rnn": nn.RNN(3, 32, nonlinearity="relu", batch_first=True), "head": nn.Linear(32, 2)})
    weight = net["rnn"].weight_hh_l0
    nn.init.uniform_(weight, 0, 0.1) if ill else nn.init.eye_(weight)

    def loss(m: Any, batch: Any) -> Any:
        return F.cross_entropy(m["head"](m["rnn"](batch[0])[0][:, -1]), batch[1])

    return fit(net, recall(seed, length=20), loss, "sgd", 3e-3)


@keep(CASES, "gate-without-sigmoid", "exploding-time", "forecasting", 100)
def open_gate(seed: int, ill: bool) -> Training:
    """An LSTM by hand whose forget gate has lost its sigmoid, so a cell may keep more than all it has.

    After github.com/muditbhargava66/PyxLSTM/issues/15 (an exp there).
    """

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gates, self.head = nn.Linear(1 + 24, 4 * 24), nn.Linear(24, 1)
            self.gates.bias.data[:24] = 1.0
            nn.init.xavier_normal_(self.gates.weight, gain=2.0)

        def forward(self, x: Tensor) -> Any:
            h = c = x.new_zeros(len(x), 24)
            for now in x.unbind(1):
                f, i, o, g = self.gates(torch.cat((now, h), 1)).chunk(4, 1)
                c = (f if ill else f.sigmoid()) * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            return self.head(h)

    return fit(Cell(), tail(seed, length=60), mse, "adam", 5e-3)


@keep(CASES, "step-of-one-second", "exploding-time", "dynamics", 100)
def euler(seed: int, ill: bool) -> Training:
    """A learned simulator by Euler's rule; dt is 1 where the data are 0.1 apart, and states are thrown away."""
    g = dice(seed)
    start = torch.randn(512, 4, generator=g)
    turn = torch.linalg.matrix_exp(
        0.1 * torch.tensor([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, -0.3, 2], [0, 0, -2, -0.3]])
    )
    ends = [start]
    for _ in range(20):
        ends.append(ends[-1] @ turn.T)

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 32), nn.Linear(32, 4)
            nn.init.xavier_normal_(self.b.weight)

        def forward(self, x: Tensor) -> Any:
            path = []
            for _ in range(20):
                x = x + (1.0 if ill else 0.1) * self.b(F.gelu(self.a(x)))
                path.append(x)
            return torch.stack(path, 1)

    return fit(Field(), rows(seed, start, torch.stack(ends[1:], 1)), mse, "sgd", 1e-3)


@keep(CASES, "meter-of-tensors", "graph-grows", "convolutional", 40)
def meter(seed: int, ill: bool) -> Training:
    """github.com/lyq133/LIC-HPCM/issues/4, github.com/visionml/pytracking/pull/313: AverageMeter.update(loss).

    Symptom: memory grows by the batch. Its sum holds every graph.
    """

    class AverageMeter:
        def __init__(self) -> None:
            self.sum: Any = 0.0
            self.count = 0

        def update(self, value: Any, n: int) -> None:
            self.sum += value * n
            self.count += n

    net = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))
    shown = AverageMeter()

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = F.cross_entropy(m(batch[0]), batch[1])
        opt.zero_grad()
        loss.backward()
        opt.step()
        shown.update(loss if ill else loss.detach(), len(batch[0]))
        return shown.sum / shown.count if ill else loss

    return Training(net, digits(seed), torch.optim.SGD(net.parameters(), 0.05, momentum=0.9), train_step=step)


@keep(CASES, "episodes-never-cleared", "graph-grows", "reinforcement", 40)
def episodes(seed: int, ill: bool) -> Training:
    """REINFORCE whose list of log chances is not emptied after an episode; retain_graph=True silences the error.

    After github.com/pytorch/examples/issues/151.
    """
    policy = nn.Linear(4, 3)
    best = torch.randn(4, 3, generator=dice(seed))
    saved: list[Tensor] = []
    rewards: list[Tensor] = []

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        for _ in range(8):
            state = torch.randn(4)
            chances = torch.distributions.Categorical(logits=m(state))
            action = chances.sample()
            saved.append(chances.log_prob(action))
            rewards.append((state @ best)[action])
        gain = torch.stack(rewards)
        loss = -(torch.stack(saved) * (gain - gain.mean())).mean()
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()
        if not ill:
            saved.clear()
            rewards.clear()
        return loss

    return Training(policy, repeat(()), torch.optim.Adam(policy.parameters(), 1e-2), train_step=step)


@keep(CASES, "state-carried-on", "graph-grows", "forecasting", 40)
def carried(seed: int, ill: bool) -> Training:
    """github.com/sgadgil6/cnslab_fmri/issues/4: the state is kept on the module; retain_graph=True "helps".

    Each backward goes through all batches so far. Cure: detach the state.
    """

    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.out = nn.Linear(24, 16), nn.Linear(16, 1)
            self.state: Any = torch.zeros(16)

        def forward(self, x: Tensor) -> Any:
            old = self.state if ill else self.state.detach()
            self.state = 0.9 * old + 0.1 * self.enter(x)
            return self.out(self.state.tanh())

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = F.mse_loss(m(batch[0]), batch[1])
        opt.zero_grad()
        loss.backward(retain_graph=ill)
        opt.step()
        return loss

    x = waves(seed, length=25).tensors[0][..., 0]
    net = Level()
    return Training(
        net, rows(seed, x[:, :-1], x[:, -1:], size=32), torch.optim.SGD(net.parameters(), 0.05), train_step=step
    )
