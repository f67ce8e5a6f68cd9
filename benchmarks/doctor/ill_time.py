"""Ill in time: the gradient vanishes or explodes along a recurrence."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, Training, ill, training
from benchmarks.doctor.losses import classify, foretell, regress
from benchmarks.doctor.nets import Recurrent


def gate(model: Recurrent, value: float) -> Recurrent:
    """Set the forget bias of an LSTM, or the update bias of a GRU, whose second quarter or third it is."""
    core: Any = model.core
    width = core.hidden_size
    with torch.no_grad():
        core.bias_ih_l0[width : 2 * width] = value
        core.bias_hh_l0[width : 2 * width] = 0
    return model


def recurrent_weight(model: Recurrent, gain: float, identity: bool = False) -> Recurrent:
    """Make the recurrent matrix orthogonal or the identity, times a gain."""
    core: Any = model.core
    (nn.init.eye_ if identity else nn.init.orthogonal_)(core.weight_hh_l0)
    with torch.no_grad():
        core.weight_hh_l0.mul_(gain)
    return model


class Cells(nn.Module):
    """A recurrence written out: a cell of torch's, or h = A h + B x without any function between."""

    def __init__(
        self, kind: str, inputs: int, outputs: int, width: int = 24, gain: float = 1.0, forget: float = 0.0
    ) -> None:
        super().__init__()
        self.width, self.kind = width, kind
        if kind == "linear":
            self.carry, self.read = nn.Linear(width, width, bias=False), nn.Linear(inputs, width)
            nn.init.orthogonal_(self.carry.weight, gain)
        else:
            self.cell = getattr(nn, kind)(inputs, width)
            if kind == "LSTMCell":
                nn.init.constant_(self.cell.bias_ih[width : 2 * width], forget)
            else:
                nn.init.orthogonal_(self.cell.weight_hh, gain)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), self.width)
        for step in range(x.shape[1]):
            if self.kind == "linear":
                h = self.carry(h) + self.read(x[:, step])
            elif self.kind == "LSTMCell":
                h, c = self.cell(x[:, step], (h, c))
            else:
                h = self.cell(x[:, step], h)
        return self.head(h)


def vanishing(seed: int, ill: bool, kind: str, length: int = 60, width: int = 24) -> Training:
    """What decides stands in the first input; a contracting recurrence forgets it. Cured: gates that stay open."""
    if not ill:
        return training(gate(Recurrent("LSTM", 3, 2, 24), 5.0), data.recall(seed, 32, length), classify, "adam", 3e-3)
    model: nn.Module
    if kind in ("lstm", "lstm-closed", "lstm-two"):
        model = gate(
            Recurrent("LSTM", 3, 2, width, layers=2 if kind == "lstm-two" else 1),
            -2.0 if kind == "lstm-closed" else 0.0,
        )
    elif kind == "gru":
        model = gate(Recurrent("GRU", 3, 2, width), -3.0)
    elif kind == "rnn-tanh":
        model = recurrent_weight(Recurrent("RNN", 3, 2, width), 0.7)
    elif kind == "rnn-default":
        model = Recurrent("RNN", 3, 2, width)
    elif kind == "rnn-relu":
        model = recurrent_weight(Recurrent("RNN", 3, 2, width, nonlinearity="relu"), 0.6, True)
    else:
        model = Cells(kind, 3, 2, width, gain=0.7, forget=-1.0)
    return training(model, data.recall(seed, 32, length), classify, "adam", 3e-3)


def exploding(seed: int, ill: bool, kind: str) -> Training:
    """The recurrent matrix stretches at every step. Cured: gain 1 or below."""
    if kind == "rnn-relu":
        model: nn.Module = recurrent_weight(Recurrent("RNN", 1, 3, 32, nonlinearity="relu"), 2.0 if ill else 0.9, True)
        return training(model, data.waves(seed, length=60), classify, "adam", 1e-2)
    if kind == "rnn-tanh":
        model = recurrent_weight(Recurrent("RNN", 1, 3, 48), 4.0 if ill else 0.9)
        return training(model, data.waves(seed, length=40), classify, "adam", 5e-3)
    if kind == "linear":
        return training(
            Cells("linear", 1, 1, gain=1.5 if ill else 0.7), data.tail(seed, length=50), regress, "adam", 5e-3
        )
    if kind == "relu-regress":
        model = recurrent_weight(Recurrent("RNN", 1, 1, 32, nonlinearity="relu"), 1.8 if ill else 0.7, True)
        return training(model, data.tail(seed, length=60), regress, "sgd", 0.02)
    if kind == "chars":
        model = recurrent_weight(
            Recurrent("RNN", 24, 40, 32, every=True, vocabulary=40, nonlinearity="relu"), 3.0 if ill else 0.9
        )
        return training(model, data.progressions(seed, length=40), foretell, "adam", 1e-2)
    core = Recurrent("GRU", 1, 3, 32)
    if ill:
        with torch.no_grad():
            core.core.weight_hh_l0.mul_(25.0)
    return training(core, data.waves(seed, length=40), classify, "adam", 1e-2)


CASES: list[Case] = [
    *[ill(kind, "vanishing-time", "recurrent", vanishing, 100, kind=kind, **more) for kind, more in (
        ("lstm", {}), ("lstm-closed", {"length": 30}), ("lstm-two", {"length": 80}), ("gru", {"length": 50}), ("rnn-tanh", {}),
        ("rnn-default", {"length": 80, "width": 32}), ("rnn-relu", {"length": 50}), ("LSTMCell", {"length": 40}), ("RNNCell", {"length": 40}))],
    *[ill(kind, "exploding-time", "recurrent", exploding, 60, also, kind=kind) for kind, also in (
        ("rnn-relu", "overflow-forward"), ("rnn-tanh", "saturated-units"), ("linear", "overflow-forward"), ("relu-regress", "overflow-forward"),
        ("chars", "overflow-forward"), ("gru", "saturated-units"))],
]  # fmt: skip
