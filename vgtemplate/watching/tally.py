"""Adds up what is measured in a step on its device; at its end everything moves to the host at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.measure import holds, is_single
from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.rows import Row

AT_ACTIVATION = "@"
"""Marks what was measured at a layer's activation, which takes the place of the same at the layer itself."""
BACKWARD = ("gradient_rms", f"gradient_rms{AT_ACTIVATION}", "weight_grad_norm_before_clip", "bias_grad_norm")
"""The series that come from a backward pass, and belong to the optimiser that it was made for."""
Array = npt.NDArray[np.float64]
_MANY, _PIECE = 1 << 17, 1024
"""Entries from which a sum of squares is taken in pieces, and the size of these."""


def wide(device: torch.device) -> torch.dtype:
    """Return the precision of sums; the square of a vanished float32 gradient is zero. Apple's GPU has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def dense(tensor: Tensor) -> Tensor:
    """Return the entries of a parameter or gradient as one real tensor, detached.

    Of a sparse one those that it holds, of a sharded one this process's share, of a complex one both parts.
    """
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def squares(tensor: Tensor, stacked: bool = False) -> Tensor:
    """Return the sum of the squares of a tensor's entries, (R,); R = 1 unless it has the replica axis in front."""
    values = dense(tensor)
    precision = wide(values.device)
    rows = values.flatten(1) if stacked else values.reshape(1, -1)
    if rows.shape[1] >= _MANY and is_single(rows):
        # In pieces, whose sums are rounded less than one of all would be.
        whole = rows.shape[1] // _PIECE * _PIECE
        pieces = torch.linalg.vector_norm(rows[:, :whole].unflatten(1, (-1, _PIECE)), dim=2).to(precision)
        rest = torch.linalg.vector_norm(rows[:, whole:], dim=1).to(precision)
        total: Tensor = pieces.square().sum(1) + rest.square()
        if all(holds(math.sqrt(each)) for each in total.tolist()):
            return total
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=precision)
    return norms.square()


def norms_of(tensors: list[Tensor], precision: torch.dtype) -> list[Tensor]:
    """Return the norm of each of several tensors of one kind, as exact as in `precision` where squares vanish."""
    if not is_single(tensors[0]):
        return list(torch._foreach_norm(tensors, 2, dtype=precision))
    norms = list(torch._foreach_norm(tensors, 2))
    if precision == torch.float32:
        return norms
    for index, size in enumerate(torch.stack(norms).tolist()):
        if not holds(size):
            norms[index] = torch.linalg.vector_norm(tensors[index], dtype=precision)
    return norms


@dataclass
class _Sum:
    """A quotient, (R,), that is summed up over the calls of a step and raised to a power at its end."""

    above: Tensor
    below: Tensor | float
    power: float
    is_scaled: bool
    """Whether `above` is a square of what mixed precision has scaled."""


class Tally:
    """What a step has measured so far, by series and row.

    `over_time` has dL/dh of a layer's calls or time steps, (T,), for those that have several.
    """

    def __init__(self) -> None:
        self._pending: dict[tuple[str, Row], _Sum] = {}
        self._settled: dict[tuple[str, Row], _Sum] = {}
        self.over_time: dict[Row, Tensor] = {}

    def add(
        self,
        series: str,
        row: Row,
        above: Tensor,
        below: Tensor | float = 1.0,
        power: float = 1.0,
        fresh: bool = False,
        is_scaled: bool = False,
    ) -> None:
        """Count towards (above / below) ** power of a row in this step.

        Args:
            fresh: in place of what was counted before; else several calls of a layer count together.
        """
        known = self._pending.get((series, row))
        if known is None or fresh:
            self._pending[series, row] = _Sum(above, below, power, is_scaled)
        else:
            known.above = known.above + above.to(known.above.device)
            known.below = known.below + below

    def has(self, series: str, row: Row) -> bool:
        """Say whether a series has a value of a row in this step, at the layer itself or at its activation."""
        names = series, series + AT_ACTIVATION
        return any((name, row) in sums for name in names for sums in (self._pending, self._settled))

    def settle(self, is_others: Callable[[Row], bool], scale: Tensor | float, accumulated: int) -> None:
        """An optimiser steps: what came backwards was for it, but for the rows that another optimiser moves.

        Args:
            is_others: says of a row whether another optimiser moves it, and this one does not.
            scale: by which the loss was multiplied (automatic mixed precision).
            accumulated: the number of batches that the step's gradient is the mean of.
        """
        for (series, row), total in list(self._pending.items()):
            if series not in BACKWARD:
                continue
            del self._pending[series, row]
            if is_others(row):
                continue
            if total.is_scaled and (isinstance(scale, Tensor) or scale != 1):
                total.above = total.above / (scale * scale)
            if series.startswith("gradient_rms") and accumulated != 1:
                total.above = total.above * accumulated**2
            self._settled[series, row] = total
        self.over_time = {row: profile / scale * accumulated for row, profile in self.over_time.items()}

    def drop_backward(self) -> None:
        """Forget what came backwards and was not settled."""
        self._pending = {name: total for name, total in self._pending.items() if name[0] not in BACKWARD}
        self.over_time = {}

    def tensors(self) -> list[Tensor]:
        """Return what is to be moved to the host."""
        sums = (part for each in self._unmarked().values() for part in (each.above, each.below))
        return [*(part for part in sums if isinstance(part, Tensor)), *self.over_time.values()]

    def flush(
        self, step: int, into: Measurements, place: Callable[[Row], float], host: Mapping[int, Array] | None = None
    ) -> dict[str, dict[str, Array]]:
        """Move what the step has left to the host, one transfer per device.

        Args:
            place: where a row stands among the layers.
            host: where it is there already: `tensors` by their identity.

        Returns:
            By series and layer, (R,).
        """
        host = to_host(self.tensors()) if host is None else host
        sums, profiles = self._unmarked(), self.over_time
        self._pending, self._settled, self.over_time = {}, {}, {}
        found: dict[str, dict[str, Array]] = {}
        rows = sorted({*profiles, *(row for _, row in sums)}, key=place)
        with np.errstate(divide="ignore", invalid="ignore"):
            for (series, row), each in sums.items():
                below = host[id(each.below)] if isinstance(each.below, Tensor) else each.below
                found.setdefault(series, {})[row.name] = (host[id(each.above)] / below) ** each.power
        for row, profile in profiles.items():
            into.over_time.setdefault(row.name, {})[step] = host[id(profile)]
            found.setdefault("time_slope", {})[row.name] = np.array([time_slope(host[id(profile)])])
        size = max((len(value) for values in found.values() for value in values.values()), default=1)
        missing = np.full(size, np.nan)
        for series, values in found.items():
            columns = [np.broadcast_to(values.get(row.name, missing), size) for row in rows]
            into.keep(step, series, [row.name for row in rows], np.stack(columns, axis=1))
        return found

    def _unmarked(self) -> dict[tuple[str, Row], _Sum]:
        """Return all sums, those at an activation in the place of those at its layer."""
        sums = {**self._pending, **self._settled}
        marked = {name: each for name, each in sums.items() if name[0].endswith(AT_ACTIVATION)}
        plain = {name: each for name, each in sums.items() if name not in marked}
        return plain | {(series.rstrip(AT_ACTIVATION), row): each for (series, row), each in marked.items()}


def time_slope(profile: Array) -> float:
    """Return by how many decades per time step the gradient changes on its way back; negative where it vanishes."""
    if not np.isfinite(profile).all() or not profile[-1] > 0:
        return float("nan")
    if not (profile > 0).all():
        return float("-inf")
    return float(-np.polyfit(np.arange(len(profile)), np.log10(profile), 1)[0])


def to_host(tensors: Iterable[Tensor]) -> dict[int, Array]:
    """Return tensors of one axis as float64 arrays by their identity, from each device in one transfer."""
    by_device: dict[torch.device, dict[torch.dtype, list[Tensor]]] = {}
    for tensor in tensors:
        by_device.setdefault(tensor.device, {}).setdefault(tensor.dtype, []).append(tensor)
    found: dict[int, Array] = {}
    for device, by_type in by_device.items():
        alike = [torch.cat([tensor.reshape(-1) for tensor in group]).to(wide(device)) for group in by_type.values()]
        joined = torch.cat(alike).cpu().numpy().astype(np.float64)
        start = 0
        for tensor in (tensor for group in by_type.values() for tensor in group):
            found[id(tensor)] = joined[start : start + tensor.numel()]
            start += tensor.numel()
    return found
