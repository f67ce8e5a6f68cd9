"""What a step does to the weights: their gradients before and after clipping, how far they move; never what flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vgtemplate.watching.rows import Row
from vgtemplate.watching.tally import Tally, dense, norms_of, squares, wide

Chosen = Callable[[Row], bool]
_BEFORE, _AFTER = "weight_grad_norm_before_clip", "weight_grad_norm_after_clip"


class _Measured(NamedTuple):
    """A gradient that was measured, and its sum of squares; kept, so that no other takes its place in memory."""

    gradient: Tensor
    version: int
    total: Tensor

    def is_of(self, gradient: Tensor | None) -> bool:
        """Say whether a gradient is this one, and nothing has written to it since."""
        return gradient is self.gradient and gradient._version == self.version


def _all_squares(tensors: Sequence[Tensor], rows: Sequence[Row], vanishing: bool = False) -> list[Tensor]:
    """Return the sum of squares of each tensor, (R,), for tensors of a kind in one call.

    Args:
        vanishing: entries may be so small that their squares are zero in single precision, as gradients are.
    """
    found: list[Tensor] = [torch.empty(0)] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, (tensor, row) in enumerate(zip(tensors, rows, strict=True)):
        if row.stacked:
            found[index] = squares(tensor, stacked=True)
        else:
            alike.setdefault((tensor.device, tensor.dtype), []).append(index)
    for (device, dtype), indices in alike.items():
        precision = wide(device) if vanishing else torch.promote_types(dtype, torch.float32)
        norms = norms_of([tensors[index] for index in indices], precision)
        for index, norm in zip(indices, norms, strict=True):
            found[index] = norm.to(wide(device)).square().reshape(1)
    return found


class Weights:
    """Writes what becomes of the weights in the probed steps to a tally.

    Args:
        initial: the weights from which the travel counts, by the rows' names; filled with those that are missing.
    """

    def __init__(self, rows: Sequence[Row], initial: dict[str, Tensor]) -> None:
        self._rows, self._initial = rows, initial
        self._before: dict[Row, Tensor] = {}
        self._newest: dict[Row, _Measured] = {}
        self._initial_squares: dict[Row, Tensor] = {}

    def remember(self) -> None:
        """Keep the weights from which the travel counts, where they are not known yet."""
        for row in self._rows:
            known = self._initial.get(row.name)
            if known is None or known.shape != dense(row.weight).shape:
                self._initial[row.name] = dense(row.weight).clone()

    def gradients(self, tally: Tally, series: str, chosen: Chosen, scale: Tensor | float | None) -> None:
        """Note the norm of each chosen weight's gradient.

        Args:
            scale: what it is divided by; None: mixed precision may have scaled it, by a factor not known yet.
        """
        gradients = {row: row.weight.grad for row in self._rows if chosen(row) and row.weight.grad is not None}
        self._norms(tally, series, gradients, scale)

    def forget_gradients(self) -> None:
        """Measure all gradients anew: what has written to them leaves no trace, as unscaling does not."""
        self._newest = {}

    def bias_gradients(self, tally: Tally, chosen: Chosen, scale: Tensor | float | None) -> None:
        """Note the norm of each chosen bias' gradient."""
        biases = {row: row.bias for row in self._rows if row.bias is not None and chosen(row)}
        gradients = {row: bias.grad for row, bias in biases.items() if bias.grad is not None}
        self._norms(tally, "bias_grad_norm", gradients, scale)

    def _norms(self, tally: Tally, series: str, gradients: dict[Row, Tensor], scale: Tensor | float | None) -> None:
        # What nothing has written to since it was measured is not measured again: nothing has clipped it.
        known = {row: each for row, each in self._newest.items() if series == _AFTER and each.is_of(gradients.get(row))}
        rows = [row for row in gradients if row not in known]
        sums = _all_squares([dense(gradients[row]) for row in rows], rows, vanishing=True)
        found = dict(zip(rows, sums, strict=True)) | {row: each.total for row, each in known.items()}
        for row, total in found.items():
            above = total if scale is None else total / (scale * scale)
            tally.add(series, row, above, power=0.5, fresh=True, is_scaled=scale is None)
        if series == _BEFORE:
            self._newest = {row: _Measured(gradients[row], gradients[row]._version, found[row]) for row in rows}
        elif series == _AFTER:
            self._newest = {}

    def keep(self, chosen: Chosen) -> None:
        """Keep the chosen weights, which are about to move."""
        rows = [row for row in self._rows if row.weight.requires_grad and chosen(row)]
        self._before |= {row: dense(row.weight).clone() for row in rows}

    def moved(self, tally: Tally) -> None:
        """Note how far the kept weights have moved since, and since the start."""
        before, self._before = self._before, {}
        rows = list(before)
        after = [dense(row.weight) for row in rows]
        initial = [self._initial[row.name].to(now.device) for row, now in zip(rows, after, strict=True)]
        if fresh := [index for index, row in enumerate(rows) if row not in self._initial_squares]:
            found = _all_squares([initial[index] for index in fresh], [rows[index] for index in fresh])
            self._initial_squares |= dict(zip([rows[index] for index in fresh], found, strict=True))
        sizes = _all_squares(list(before.values()), rows)
        steps = _all_squares([now - before[row] for row, now in zip(rows, after, strict=True)], rows)
        ways = _all_squares([now - start for now, start in zip(after, initial, strict=True)], rows)
        for index, row in enumerate(rows):
            count = before[row].numel() / (len(before[row]) if row.stacked else 1)
            tally.add("weight_rms", row, sizes[index], count, 0.5, fresh=True)
            tally.add("update_ratio", row, steps[index], sizes[index], 0.5, fresh=True)
            tally.add("travel", row, ways[index], self._initial_squares[row], 0.5, fresh=True)
