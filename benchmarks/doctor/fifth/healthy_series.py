"""Healthy: recurrent networks and forecasts."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import adding, digits, tail
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import by, ce, down, mse, named, plain
from benchmarks.doctor.fourth.data import orbits


class Forgetful(nn.Module):
    """An LSTM whose forget gates start open: bias 1, as advised (pytorch/pytorch#750, coetaur0/ESIM#2)."""

    rnn: Any

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(2, 32, batch_first=True), nn.Linear(32, 1)
        for bias in (self.rnn.bias_ih_l0, self.rnn.bias_hh_l0):
            nn.init.zeros_(bias)
            nn.init.constant_(bias[32:64], 1.0)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.rnn(x)[0][:, -1])


class Identity(nn.Module):
    """A recurrence of ReLUs that starts as the identity."""

    rnn: Any

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.RNN(8, 48, nonlinearity="relu", batch_first=True), nn.Linear(48, 10)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.rnn(x.view(-1, 8, 8))[0][:, -1])


def identity(seed: int) -> Training:
    """By SGD, each gradient clipped at 1."""
    model = Identity()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = ce(net, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    return Training(model, digits(seed), by("sgd", model.parameters(), 0.02), train_step=step)


class Last(nn.Module):
    """A recurrence that needs no more than the last four of forty readings, and learns so."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn, self.out = kind(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.rnn(x)[0][:, -1])


class Reversible(nn.Module):
    """DLinear between two halves of RevIN: series of any level go in, and come out in their own unit."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.trend, self.season = nn.Linear(48, 8), nn.Linear(48, 8)

    def forward(self, x: Tensor) -> Any:
        mean, std = x.mean(1, keepdim=True).detach(), (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt().detach()
        z = (x - mean) / std * self.weight + self.bias
        slow = F.avg_pool1d(F.pad(z[:, None], (4, 4), mode="replicate"), 9, 1)[:, 0]
        out = self.trend(slow) + self.season(z - slow)
        return (out - self.bias) / (self.weight + 1e-10) * std + mean


def truncated(seed: int) -> Training:
    """Backpropagation through 16 steps of an endless stream: the state goes on, detached."""
    model: Any = nn.ModuleDict({"rnn": nn.GRU(1, 32, batch_first=True), "out": nn.Linear(32, 1)})
    wave = data.stream(seed).tensors[0]
    pieces = [(wave[:, 16 * n : 16 * n + 17],) for n in range(150)]
    kept: list[Any] = [None]

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = batch[0][:, :, None]
        h, state = m["rnn"](x[:, :-1], kept[0])
        kept[0] = state.detach()
        return down(optimizer, F.mse_loss(m["out"](h), x[:, 1:]))

    return Training(model, pieces, by("adam", model.parameters(), 5e-3), train_step=step)


class Beats(nn.Module):
    """N-BEATS: each block takes away what it explains and adds what it foretells."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 56))
            for _ in range(4)
        )

    def forward(self, x: Tensor) -> Any:
        ahead = torch.zeros(len(x), 8)
        for block in self.blocks:
            back, part = block(x).split((48, 8), 1)
            x, ahead = x - back, ahead + part
        return ahead


class Stock(nn.Module):
    """The lesson on stocks: two layers of LSTM over prices scaled to between 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(1, 32, 2, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Any:
        h0, c0 = torch.zeros(2, len(x), 32), torch.zeros(2, len(x), 32)
        return self.fc(self.lstm(x, (h0.detach(), c0.detach()))[0][:, -1])


def prices(seed: int) -> Batches:
    """Return windows of a random walk between 0 and 1, (B, 19, 1), and what follows."""
    walk = torch.randn(500, generator=data.dice(seed)).cumsum(0)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    windows = walk.unfold(0, 20, 1)
    return Batches((windows[:, :-1, None], windows[:, -1:]), 64, seed)


class BothWays(nn.Module):
    """Last states of both directions side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(1, 24, 2, batch_first=True, bidirectional=True, dropout=0.1), nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Any:
        state = self.rnn(x)[1]
        return self.out(torch.cat([state[-2], state[-1]], 1))


class Causal(nn.Module):
    """Dilated convolutions with normed weights, cut at the end, on a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.inp, self.out = nn.Conv1d(1, 16, 1), nn.Linear(16, 8)
        self.convs = nn.ModuleList(norm(nn.Conv1d(16, 16, 3, padding=2 * d, dilation=d)) for d in (1, 2, 4, 8))

    def forward(self, x: Tensor) -> Any:
        h = self.inp(x[:, None])
        for conv in self.convs:
            h = h + F.dropout(F.relu(conv(h)[..., : x.shape[1]]), 0.05, self.training)
        return self.out(h[..., -1])


QUANTILES = torch.tensor([0.1, 0.5, 0.9])


def pinball(model: nn.Module, batch: Any) -> Tensor:
    """The loss of three quantiles."""
    off = batch[1][:, :, None] - model(batch[0]).view(len(batch[0]), 8, 3)
    return torch.maximum(QUANTILES * off, (QUANTILES - 1) * off).mean()


class Flow(nn.Module):
    """A neural differential equation, four Euler steps between observations."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, path: Tensor) -> Any:
        y, loss = path[:, 0], torch.zeros(())
        for goal in path[:, 1:].unbind(1):
            for _ in range(4):
                y = y + 0.25 * self.f(y)
            loss = loss + F.mse_loss(y, goal)
        return loss / (path.shape[1] - 1)


class Echo(nn.Module):
    """An echo state network: what echoes is drawn once and never learns, only what listens to it does."""

    def __init__(self, size: int = 100) -> None:
        super().__init__()
        inner = torch.randn(size, size)
        inner = 0.8 * inner / torch.linalg.eigvals(inner).abs().max()
        self.into = nn.Parameter(0.5 * torch.randn(size, 1), requires_grad=False)
        self.inner = nn.Parameter(inner, requires_grad=False)
        self.readout = nn.Linear(size, 8)

    def forward(self, x: Tensor) -> Any:
        h = torch.zeros(len(x), len(self.inner))
        for value in x.unbind(1):
            h = torch.tanh(value[:, None] @ self.into.T + h @ self.inner.T)
        return self.readout(h)


class Timed(nn.Module):
    """A transformer over hours, told the time by sines, that foretells all hours at once."""

    clock: Tensor

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        t = torch.arange(48.0)[:, None] * torch.tensor([6.28 / 12, 6.28 / 24, 6.28 / 48])
        self.register_buffer("clock", torch.cat([t.sin(), t.cos()], 1))
        self.inp, self.out = nn.Linear(7, d), nn.Linear(d, 8)
        self.layer = nn.TransformerEncoderLayer(d, 2, 48, 0.0, "gelu", batch_first=True)

    def forward(self, x: Tensor) -> Any:
        h = self.inp(torch.cat([x[:, :, None], self.clock.expand(len(x), -1, -1)], 2))
        return self.out(self.layer(h).mean(1))


megawatts = partial(data.loads, level=800.0, scale=60.0)
CASES: list[Case] = [
    plain("forget-gates-open", "recurrent", Forgetful, partial(adding, length=8), mse, "adam", 1e-2, 200),
    named("identity-recurrence-clipped", "recurrent", identity, 100),
    plain("last-readings-gru", "recurrent", partial(Last, nn.GRU), tail, mse, "adam", 1e-2, 80),
    plain("last-readings-tanh", "recurrent", partial(Last, nn.RNN), partial(tail, length=30), mse, "rmsprop", 3e-3, 80),
    plain("megawatts-reversible", "forecasting", Reversible, megawatts, mse, "adam", 5e-3, 80),
    named("endless-stream-detached", "recurrent", truncated, 120),
    plain("stock-lesson", "forecasting", Stock, prices, mse, "adam", 1e-2, 120),
    plain("causal-weight-norm", "forecasting", Causal, data.loads, mse, "radam", 1e-2, 80),
    plain("quantiles-ahead", "forecasting", lambda: nn.Sequential(nn.Linear(48, 64), nn.Softplus(), nn.Linear(64, 24)), data.loads, pinball, "adamw", 5e-3, 80),
    plain("differential-equation", "dynamics", Flow, orbits, lambda m, b: m(b[0]), "adam", 1e-2, 60),
    plain("echo-state", "recurrent", Echo, data.loads, mse, "adam", 1e-2, 80),
    plain("hours-transformer", "forecasting", Timed, data.loads, mse, "adamax", 1e-2, 120),
]  # fmt: skip
