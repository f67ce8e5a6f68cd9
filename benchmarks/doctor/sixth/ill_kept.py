"""Ill in what a loop keeps: graphs that grow from step to step, and gradients that were never cleared."""

from __future__ import annotations

from collections import deque
from itertools import pairwise, repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, graphs
from benchmarks.doctor.sixth.parts_b import blobs, dice, down, keep, missed, mlp, rows

CASES: list[Case] = []


@keep(CASES, "window-of-losses", "graph-grows", "graph nets", 40)
def window(seed: int, ill: bool) -> Training:
    """github.com/pnnl/neuromancer/pull/292: metrics are kept as they are, each with its graph.

    Here a deque of the last 100 losses for a smooth curve; the mean is what is logged. Cure: loss.detach().
    """

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(6, 24), nn.Linear(24, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor, a: Tensor) -> Any:
            h = F.relu(a @ self.first(x))
            return self.head(F.relu(a @ self.second(h)).mean(1))

    net, last = Graph(), deque[Tensor](maxlen=100)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = down(opt, F.cross_entropy(m(*batch[:2]), batch[2]))
        last.append(loss if ill else loss.detach())
        return sum(last) / len(last)

    return Training(net, graphs(seed), torch.optim.Adam(net.parameters(), 1e-2), train_step=step)


@keep(CASES, "smoothing-of-a-stream", "graph-grows", "forecasting", 40)
def stream(seed: int, ill: bool) -> Training:
    """github.com/TorchSim/torch-sim/pull/564: a state goes on from step to step with its graph, ever slower.

    Here Holt's level and trend of twelve series, with learned rates; retain_graph=True silences the error.
    """
    steady = torch.randn(12, generator=dice(seed)).cumsum(0)
    noise = torch.randn(200, 12, generator=dice(seed + 1))
    series = steady + 0.3 * torch.arange(200)[:, None] / 10 + noise

    class Holt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rates = nn.Parameter(torch.tensor([2.0, 0.0]))
            self.level, self.trend = series[0], torch.zeros(12)

        def forward(self, x: Tensor) -> Any:
            level, trend = (self.level, self.trend) if ill else (self.level.detach(), self.trend.detach())
            expected = level + trend
            a, b = self.rates.sigmoid()
            self.level = expected + a * (x - expected)
            self.trend = trend + b * (self.level - level - trend)
            return self.level + self.trend

    net = Holt()

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = F.mse_loss(m(batch[0]), batch[1])
        return down(opt, loss, retain_graph=ill)

    return Training(net, list(pairwise(series)), torch.optim.Adam([net.rates], 0.1), train_step=step)


@keep(CASES, "running-prior-of-classes", "graph-grows", "semi-supervised", 40)
def prior(seed: int, ill: bool) -> Training:
    """Logits are corrected by a running mean of the predictions, as in debiased pseudo-labels; the mean has a graph.

    As the features are frozen there is one layer, and retain_graph=True "helps". After github.com/
    alexhernandezgarcia/gflownet/pull/133 (running averages with all their graphs). Cure: detach.
    """
    x, y = digits(seed).tensors
    kept = (y < 3) | (torch.rand(len(y), generator=dice(seed)) < 0.3)
    with torch.no_grad():
        x = nn.Sequential(nn.Linear(64, 96), nn.ReLU())(x[kept])
    net = nn.Linear(96, 10)
    mean = {"now": torch.full((10,), 0.1)}

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        out = m(batch[0])
        mean["now"] = 0.9 * mean["now"] + 0.1 * out.softmax(1).mean(0)
        if not ill:
            mean["now"] = mean["now"].detach()
        return down(opt, F.cross_entropy(out + 0.5 * mean["now"].log(), batch[1]), retain_graph=ill)

    return Training(net, rows(seed, x, y[kept]), torch.optim.SGD(net.parameters(), 0.5), train_step=step)


@keep(CASES, "cleared-in-one-branch", "stale-gradients", "world models", 120)
def one_branch(seed: int, ill: bool) -> Training:
    """github.com/facebookresearch/nwm/issues/16: zero_grad stands in the branch without bfloat16 only.

    With bfloat16 each step goes along the sum of all gradients so far.
    """
    g = dice(seed)
    state, action = torch.randn(768, 6, generator=g), torch.randn(768, 2, generator=g)
    ahead = torch.tanh(torch.cat((state, action), 1) @ (torch.randn(8, 6, generator=g) / 2))
    net = mlp(8, 48, 48, 6, act=nn.SiLU)
    bfloat = True

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat):
            out = m(torch.cat((batch[0], batch[1]), 1))
        loss = F.mse_loss(out.float(), batch[2])
        if not bfloat or not ill:
            opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    data = rows(seed, state, action, ahead)
    return Training(net, data, torch.optim.AdamW(net.parameters(), 5e-3), train_step=step)


@keep(CASES, "student-of-noisy-teachers", "stale-gradients", "distillation", 100)
def student(seed: int, ill: bool) -> Training:
    """github.com/opendp/smartnoise-sdk/issues/280: the student's optimiser never clears; the teachers' do.

    A student learns from the noisy votes of three teachers, which learn on their own parts.
    """
    data = blobs(seed, size=96)
    net = nn.ModuleDict({"student": mlp(10, 32, 4), "teachers": nn.ModuleList(nn.Linear(10, 4) for _ in range(3))})
    slow = torch.optim.SGD(net["student"].parameters(), 0.02, momentum=0.9)
    opts = [slow, torch.optim.Adam(net["teachers"].parameters(), 2e-2)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        x, y = batch
        parts = zip(m["teachers"], x.chunk(3), y.chunk(3), strict=True)
        down(opts[1], sum((F.cross_entropy(each(a), b) for each, a, b in parts), torch.zeros(())))
        with torch.no_grad():
            votes = sum(F.one_hot(each(x).argmax(1), 4) for each in m["teachers"]) + 0.3 * torch.randn(len(x), 4)
        loss = F.cross_entropy(m["student"](x), votes.argmax(1))
        if not ill:
            opts[0].zero_grad()
        loss.backward()
        opts[0].step()
        return loss

    return Training(net, data, opts, train_step=step)


@keep(CASES, "updates-per-visit", "stale-gradients", "reinforcement", 60)
def updates(seed: int, ill: bool) -> Training:
    """A value net takes ten updates per round of new visits; zero_grad is called once per round, outside that loop.

    As in github.com/ajbrock/BigGAN-PyTorch/issues/25 (the critic's steps): the n-th update goes along the sum of n
    gradients. Score: the share of states in which the best action is missed.
    """
    g = dice(seed)
    worth = torch.randn(6, 4, generator=g)
    tests = torch.randn(512, 6, generator=g)
    net = mlp(6, 48, 4)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        x, action = torch.randn(64, 6), torch.randint(0, 4, (64, 1))
        reward = (x @ worth).gather(1, action) + 0.3 * torch.randn(64, 1)
        opt.zero_grad()
        for _ in range(10):
            if not ill:
                opt.zero_grad()
            loss = F.mse_loss(m(x).gather(1, action), reward)
            loss.backward()
            opt.step()
        return loss

    score = missed([(tests, (tests @ worth).argmax(1))])
    optimizer = torch.optim.SGD(net.parameters(), 0.015, momentum=0.9)
    return Training(net, repeat(()), optimizer, train_step=step, score=score)
