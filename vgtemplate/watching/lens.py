"""Looks at a tensor with or without a replica axis: inside torch.vmap the axis is there, but hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vgtemplate.watching.tally import dense, wide

_functorch = torch._C._functorch


@dataclass(slots=True)
class Seen:
    """A tensor as it is in memory.

    Args:
        tensor: the one that autograd knows.
        is_batched: torch.vmap hides its replica axis.
        axis: that axis; None: there is none.
        replica: whose it is, where the networks of a population run in turn.
    """

    tensor: Tensor
    is_batched: bool
    axis: int | None
    replica: int | None

    @property
    def values(self) -> Tensor:
        """The entries, detached, with the replica axis in front if there is one."""
        values = dense(self.tensor)
        return values if self.axis is None else values.movedim(self.axis, 0)

    @property
    def count(self) -> int:
        """How many entries one replica has."""
        return self.tensor.numel() // (self.tensor.shape[self.axis] if self.axis is not None else 1)

    def with_tensor(self, tensor: Tensor) -> Seen:
        """Return another tensor of the same form."""
        return Seen(tensor, self.is_batched, self.axis, self.replica)


def see(tensor: Tensor, replica: int | None = None) -> Seen:
    """Return a tensor as it is in memory; of several replicas' under torch.vmap all of them."""
    if not _functorch.is_batchedtensor(tensor):
        return Seen(tensor, False, None, replica)
    return Seen(_functorch.get_unwrapped(tensor), True, _functorch.maybe_get_bdim(tensor), None)


def summed(values: Tensor, seen: Seen) -> Tensor:
    """Return the sum of the entries, (R,); R = 1 without a replica axis."""
    rows = values.flatten(1) if seen.is_batched else values.reshape(1, -1)
    if values.dtype == torch.bool:
        return rows.count_nonzero(dim=1).to(wide(values.device))
    return rows.sum(dim=1, dtype=wide(values.device))


def units_first(values: Tensor, seen: Seen, axis: int) -> Tensor | None:
    """Return values as (..., units, all that a unit has); None where there is but one value per unit.

    Args:
        axis: of the units, counted without the replica axis.
    """
    first = int(seen.is_batched)
    if values.dim() - first < 2:
        return None
    return values.movedim(axis if axis < 0 else axis + first, first).flatten(first + 1)
