"""What layers put out, told by some entries of some samples: their size, and how far the samples lie apart."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgtemplate.doctor.evidence import Keep, LayerStep
from vgtemplate.watching.lens import Seen

SAMPLES, _COLUMNS = 64, 64
"""So many samples of a batch, and at least so many values of each, where there are more."""


def some_samples(values: Tensor, most: int = SAMPLES) -> Tensor:
    """Return at most so many samples of a batch, evenly spread over it."""
    return values if values.shape[0] <= most else values[:: -(-values.shape[0] // most)]


def _some_entries(values: Tensor) -> Tensor:
    """Return some entries of some samples, (samples, entries), as a view where that is possible."""
    samples = values.shape[0] if values.dim() > 1 else 1
    size = values.numel() // samples
    row, column = -(-samples // SAMPLES), max(1, size // _COLUMNS)
    if values.is_contiguous():
        return values.as_strided((-(-samples // row), -(-size // column)), (row * size, column))
    return values[::row].flatten(1)[:, ::column] if values.dim() > 1 else values.reshape(1, -1)[:, ::column]


class _Call(NamedTuple):
    """A sample of what one call put out."""

    note: LayerStep
    values: Tensor
    has_samples: bool


class _Calls:
    """Some calls of a layer in a step: the first, second, fourth, ..., and the newest."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[_Call] = []

    def add(self, call: _Call, replaces: bool) -> None:
        """Take a call; a newer one takes the place of one whose number is no power of two."""
        if self.kept and (replaces or self.count & (self.count - 1)):
            self.kept.pop()
        self.count += not replaces
        self.kept.append(call)


class Signals:
    """Keeps samples of each layer's outputs; measures all of them at once.

    Args:
        keep: takes a tensor, and where its values go when the step ends.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._calls: dict[str, _Calls] = {}

    def begin(self) -> None:
        """Before the forward pass."""
        self._calls = {}

    def note(self, name: str, note: LayerStep, seen: Seen, replaces: bool = False) -> None:
        """A layer has put something out; or its activation has, which takes the place of that (`replaces`)."""
        values = seen.tensor.detach()
        if not values.is_floating_point() or values.layout != torch.strided or not values.numel():
            return
        if seen.axis is not None:
            values = values.movedim(seen.axis, 0)[0]
        has_samples = not seen.is_batched and values.dim() > 1 and values.shape[0] > 1
        few = _some_entries(values).to(torch.promote_types(values.dtype, torch.float32), copy=True)
        self._calls.setdefault(name, _Calls()).add(_Call(note, few, has_samples), replaces)

    def measure(self) -> None:
        """After the forward pass: size and spread of all."""
        calls, self._calls = self._calls, {}
        kinds: dict[tuple[torch.device, torch.dtype], list[_Call]] = {}
        for call in (call for each in calls.values() for call in each.kept):
            kinds.setdefault((call.values.device, call.values.dtype), []).append(call)
        for found in kinds.values():
            values = [call.values for call in found]
            # Of equal samples nothing at all is left, and what is left loses no digits to their mean.
            apart = [each - each[:1] for each in values]
            sums = [each.sum(0) for each in apart]
            norms = [norm for each in (values, apart, sums) for norm in torch._foreach_norm(each)]
            notes = [(call.note, tuple(call.values.shape), call.has_samples) for call in found]
            self._keep(torch.stack(norms), partial(_fill, notes))


def _fill(notes: list[tuple[LayerStep, tuple[int, ...], bool]], host: Any) -> None:
    sizes, apart, sums = host.reshape(3, len(notes)).tolist()
    for index, (note, (rows, columns), has_samples) in enumerate(notes):
        note.signal = sizes[index] / math.sqrt(rows * columns)
        variance = apart[index] * apart[index] - sums[index] * sums[index] / rows
        if has_samples and sizes[index] > 0 and math.isfinite(variance):
            # Of a layer that is called at each place of a sequence, the place at which they differ most: at the first
            # they may all begin alike, and at the last all be padding.
            note.spread = float(np.fmax(note.spread, math.sqrt(max(0.0, variance)) / sizes[index]))
