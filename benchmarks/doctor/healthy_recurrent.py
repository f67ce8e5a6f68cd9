"""Healthy recurrent networks: classes of rows and waves, characters, the adding problem when it is short."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, grid
from benchmarks.doctor.losses import classify, foretell, regress
from benchmarks.doctor.nets import Recurrent


class Rows(nn.Module):
    """Reads a digit row by row."""

    def __init__(self, kind: str, width: int = 48) -> None:
        super().__init__()
        self.inner = Recurrent(kind, 8, 10, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.view(-1, 8, 8))


class ByHand(nn.Module):
    """A recurrence written out with a cell."""

    def __init__(self, cell: str = "GRUCell", width: int = 32) -> None:
        super().__init__()
        self.cell, self.head, self.width = getattr(nn, cell)(1, width), nn.Linear(width, 3), width

    def forward(self, x: Tensor) -> Tensor:
        state: Any = x.new_zeros(len(x), self.width)
        if isinstance(self.cell, nn.LSTMCell):
            state = (state, state)
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Tied(nn.Module):
    """Characters in and out by the same matrix."""

    def __init__(self, vocabulary: int = 40, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.core = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.core(self.embed(x))[0])


class Remembers(nn.Module):
    """An LSTM whose forget bias of 5 carries the first input through sixty steps."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Recurrent("LSTM", 3, 2, 24)
        with torch.no_grad():
            self.inner.core.bias_ih_l0[24:48] = 5.0
            self.inner.core.bias_hh_l0[24:48] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Temporal(nn.Module):
    """Dilated causal convolutions instead of a recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=2, dilation=2), nn.ReLU(),
            nn.Conv1d(16, 16, 3, padding=4, dilation=4), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.transpose(1, 2))


chars = partial(Recurrent, inputs=24, outputs=40, every=True, vocabulary=40)

CASES: list[Case] = [
    *grid("rows-rnn", "recurrent", partial(Rows, "RNN"), data.digits, classify, {"adam": 3e-3, "rmsprop": 1e-3}),
    *grid("rows-lstm", "recurrent", partial(Rows, "LSTM"), data.digits, classify, {"adam": 5e-3, "sgd": 0.3}),
    *grid("rows-gru", "recurrent", partial(Rows, "GRU"), data.digits, classify, {"adam": 3e-3, "rmsprop": 2e-3}),
    *grid("waves-lstm", "recurrent", partial(Recurrent, "LSTM", 1, 3), data.waves, classify, {"adam": 1e-2}),
    *grid("waves-gru-2-layers", "recurrent", partial(Recurrent, "GRU", 1, 3, layers=2), data.waves, classify, {"adam": 5e-3}),
    *grid("waves-cell-gru", "recurrent", ByHand, data.waves, classify, {"adam": 1e-2}),
    *grid("waves-cell-lstm", "recurrent", partial(ByHand, "LSTMCell"), data.waves, classify, {"adamw": 1e-2}),
    *grid("waves-both-ways", "recurrent", partial(Recurrent, "LSTM", 1, 3, both=True), data.waves, classify, {"adam": 1e-2}),
    *grid("waves-temporal", "recurrent", Temporal, data.waves, classify, {"adam": 1e-2, "sgd": 0.05}),
    *grid("chars-rnn", "recurrent", partial(chars, "RNN"), data.progressions, foretell, {"adam": 5e-3}),
    *grid("chars-gru", "recurrent", partial(chars, "GRU"), data.progressions, foretell, {"adam": 1e-2, "rmsprop": 3e-3}),
    *grid("chars-lstm", "recurrent", partial(chars, "LSTM"), data.progressions, foretell, {"adam": 1e-2}),
    *grid("chars-tied", "tied weights", Tied, data.progressions, foretell, {"adam": 5e-3, "adamw": 1e-2}),
    *grid("adding-gru", "recurrent", partial(Recurrent, "GRU", 2, 1), data.adding, regress, {"adam": 1e-2}, 100),
    *grid("recall-open-gate", "recurrent", Remembers, data.recall, classify, {"adam": 3e-3}, 80),
]  # fmt: skip
