"""Ill along a recurrence: what came first is forgotten, or stretched beyond all bounds."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, ill
from benchmarks.doctor.second.common import by, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_sequences import chrono, rolled


def gate(m: Any, e: Tensor, state: Any) -> Any:
    """A coupled gate of one's own."""
    keep = torch.sigmoid(m.gate(torch.cat((e, state[0]), 1)))
    return keep * state[0] + (1 - keep) * torch.tanh(m.new(e)), state[1]


def apart(m: Any, e: Tensor, state: Any) -> Any:
    """IndRNN: each unit recurs on itself alone."""
    return F.leaky_relu(e + m.carry * state[0]), state[1]


def leaky(m: Any, e: Tensor, state: Any) -> Any:
    """A residual step without a bound."""
    return state[0] + m.carry(state[0]) + 0.1 * e, state[1]


def timed(seed: int, ill: bool, kind: str) -> Training:
    """What came first is to be told last. Ill: a recurrence that forgets, or that stretches."""
    length, rate = 30, 1e-2
    if kind == "own-gate":
        layer = nn.Linear(64, 32)
        nn.init.constant_(layer.bias, -1.5 if ill else 3.5)
        net: nn.Module = rolled(gate, {"gate": layer, "new": nn.Linear(32, 32)}, 0, 1, last=True)
    elif kind in ("independent", "independent-large"):
        start = {"independent": 0.6, "independent-large": 1.6}[kind] if ill else 0.98
        net, rate = rolled(apart, {"carry": nn.Parameter(torch.full((32,), start))}, 0, 1, last=True), 3e-3
    elif kind == "residual":
        carry = nn.Linear(32, 32, bias=False)
        nn.init.orthogonal_(carry.weight, 0.9 if ill else 0.01)
        net, rate, length = rolled(leaky, {"carry": carry}, 0, 1, last=True), 3e-3, 40
    else:
        net = chrono()
        if ill and kind == "shut":
            net.core.bias_ih_l0.data[32:64] = -3.0  # type: ignore[union-attr, index, operator]
        elif ill:
            core: Any = (
                nn.GRU(2, 32, batch_first=True)
                if kind == "gru"
                else nn.RNN(2, 32, batch_first=True, nonlinearity="relu")
            )
            with torch.no_grad():
                if kind == "gru":
                    core.bias_ih_l0[32:64] = -2.0
                else:
                    nn.init.orthogonal_(core.weight_hh_l0, 2.4)
            net.core = core
    return Training(net, tasks.opening(seed, length=length), by("adam", rate, net.parameters()), squared)


CASES: list[Case] = [
    *[ill(f"first-is-lost-{kind}", "vanishing-time", "recurrent", partial(timed, kind=kind), 150) for kind in ("own-gate", "independent", "shut", "gru")],
    *[ill(f"stretches-{kind}", "exploding-time", "recurrent", partial(timed, kind=kind), 80, "overflow-forward") for kind in ("independent-large", "residual", "relu")],
]  # fmt: skip
