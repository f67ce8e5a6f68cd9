"""Ill through time: gradients that vanish or explode over the steps of a sequence."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import discs, recall
from benchmarks.doctor.sixth.parts_b import ce, dice, fit, keep, mlp, mse, rows, unexplained

CASES: list[Case] = []


@keep(CASES, "half-life-of-one-symbol", "vanishing-time", "state spaces", 150)
def half_life(seed: int, ill: bool) -> Training:
    """github.com/jrz97619761/test-model-thing/issues/3: two layers of h = a h + (1 - a) u, a = sigmoid(0) at the start.

    Each state halves at each symbol; what stood forty symbols back has no gradient. Cure: half-lives of 1 to 500.
    """

    class Decays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.mix, self.head = nn.Linear(3, 32), nn.Linear(32, 32), nn.Linear(32, 2)
            keeps = 0.5 ** (1 / torch.logspace(0, math.log10(500), 32))
            self.decays = nn.Parameter(torch.zeros(2, 32) if ill else keeps.logit().repeat(2, 1))

        def scan(self, u: Tensor, a: Tensor) -> Tensor:
            h, path = torch.zeros_like(u[:, 0]), []
            for now in u.unbind(1):
                h = a * h + (1 - a * a).sqrt() * now
                path.append(h)
            return torch.stack(path, 1)

        def forward(self, x: Tensor) -> Any:
            first, second = self.decays.sigmoid()
            h = self.scan(F.gelu(self.enter(x)), first)
            return self.head(self.scan(F.gelu(self.mix(h)), second)[:, -1])

    return fit(Decays(), recall(seed, length=40), ce, "adam", 1e-2)


@keep(CASES, "gaps-in-seconds", "vanishing-time", "clinical series", 150, "unscaled-inputs")
def gaps(seed: int, ill: bool) -> Training:
    """A GRU-D lets its state decay by exp(-relu(w * gap)) between two visits, and the gaps are given in seconds.

    Hours were meant: exp(-360) is 0, and the state is wiped before each visit. Symptom: only the last visit counts.
    """
    g = dice(seed)
    x = torch.randn(768, 12, 4, generator=g)
    hours = 0.2 + 2 * torch.rand(768, 12, 1, generator=g)
    y = (x[:, :4, 0].sum(1) > 0).long()

    class GruD(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(4, 32), nn.Linear(32, 2)
            self.decay = nn.Parameter(torch.full((32,), 0.1))

        def forward(self, x: Tensor, gap: Tensor) -> Any:
            h = x.new_zeros(len(x), 32)
            for now, since in zip(x.unbind(1), gap.unbind(1), strict=True):
                h = self.cell(now, h * torch.exp(-F.relu(self.decay * since)))
            return self.head(h)

    return fit(GruD(), rows(seed, x, hours * (3600 if ill else 1), y, size=32), ce, "adam", 1e-2)


@keep(CASES, "skies-by-the-pixel", "vanishing-time", "recurrent", 150)
def by_pixel(seed: int, ill: bool) -> Training:
    """A lesson's exercise: nn.RNN reads a picture pixel by pixel; whether it is day is told by the uppermost row.

    The weights as they come shrink a state by 0.58 a step, and 132 pixels follow. Cure: start from an
    orthogonal matrix.
    """

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(1, 64, batch_first=True), nn.Linear(64, 2)
            weight: Any = self.rnn.weight_hh_l0
            if not ill:
                nn.init.orthogonal_(weight)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.rnn(x)[0][:, -1])

    g = dice(seed)
    x, y = 0.5 * torch.randn(512, 144, 1, generator=g), torch.randint(0, 2, (512,), generator=g)
    x[:, :12, 0] += 2.0 * y[:, None] - 1
    return fit(Reader(), rows(seed, x, y, size=32), ce, "adam", 1e-3)


@keep(CASES, "names-without-tanh", "exploding-time", "text", 100)
def names(seed: int, ill: bool) -> Training:
    """The cell of a well-known lesson on names, hidden = i2h(cat(letter, hidden)), has no activation.

    On names it does; here all Linear layers get kaiming_normal_ and the lines are long: 1.3-fold a letter.
    Cure: the weights as they come.
    """
    g = dice(seed)
    letters = torch.randint(0, 12, (512, 40), generator=g)
    y = (letters[:, -5:] < 4).sum(1).clamp(max=2)

    class Names(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.i2h, self.i2o = nn.Linear(12 + 32, 32), nn.Linear(12 + 32, 3)
            if ill:
                for each in (self.i2h, self.i2o):
                    nn.init.kaiming_normal_(each.weight)

        def forward(self, x: Tensor) -> Any:
            h = torch.zeros(len(x), 32)
            for letter in F.one_hot(x, 12).float().unbind(1):
                both = torch.cat((letter, h), 1)
                h, out = self.i2h(both), self.i2o(both)
            return out

    return fit(Names(), rows(seed, letters, y, size=32), ce, "adam", 2e-3)


@keep(CASES, "automaton-with-raw-sobel", "exploding-time", "cellular automata", 60, "exploding-depth")
def automaton(seed: int, ill: bool) -> Training:
    """A neural cellular automaton: x = x + rule(x and its Sobel filters), the same rule 20 times over.

    The division by 8 of the filters is forgotten, and the rule's last layer does not start at zero: states grow
    several-fold a step. Cure: both, as in the lesson on growing automata.
    """
    ramp, smooth = torch.tensor([-1.0, 0, 1]), torch.tensor([1.0, 2, 1])
    sobel = torch.stack((torch.outer(smooth, ramp), torch.outer(ramp, smooth)))[:, None] / (1 if ill else 8)

    class Automaton(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(18, 24, 1), nn.Conv2d(24, 6, 1, bias=False)
            if not ill:
                nn.init.zeros_(self.last.weight)

        def forward(self, x: Tensor) -> Any:
            state = F.pad(x, (0, 0, 0, 0, 0, 5))
            for _ in range(20):
                seen = F.conv2d(state, sobel.repeat(6, 1, 1, 1), padding=1, groups=6)
                state = state + self.last(F.relu(self.first(torch.cat((state, seen), 1))))
            return state[:, :1]

    x, mask = discs(seed).tensors
    return fit(Automaton(), rows(seed, x, mask, size=8), mse, "adam", 2e-3)


@keep(CASES, "population-rolled-out", "exploding-time", "ecology", 120)
def population(seed: int, ill: bool) -> Training:
    """A model of a population, n exp(r (1 - n / k) + net(n)), is fitted by rolling it out for 60 years from the first.

    The true one is chaotic (r = 2.9): errors and gradients grow year by year. Cure: one step from each observed year.
    """
    n = 0.2 + torch.rand(512, 1, generator=dice(seed))
    years = [n]
    for _ in range(60):
        years.append(years[-1] * torch.exp(2.9 * (1 - years[-1])))
    path = torch.cat(years, 1)

    class Ricker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.r, self.k = nn.Parameter(torch.tensor(3.3)), nn.Parameter(torch.tensor(1.3))
            self.net = mlp(1, 16, 1, act=nn.Tanh)

        def forward(self, n: Tensor) -> Any:
            return n * torch.exp(self.r * (1 - n / self.k) + 0.1 * self.net(n))

    def loss(m: Any, batch: Any) -> Any:
        n, out = batch[0], []
        for year in range(60):
            n = m(n if ill else batch[1][:, year : year + 1])
            out.append(n)
        return F.mse_loss(torch.cat(out, 1), batch[1][:, 1:])

    score = unexplained(rows(seed, path[:, 30:31], path[:, 31:32], size=256))
    return fit(Ricker(), rows(seed, path[:, :1], path, size=32), loss, "adam", 5e-3, score)
