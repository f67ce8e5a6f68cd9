"""Training images that each replica draws for itself from the training split: seeds differ in their data too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.split import Content, Tensors

Indices = npt.NDArray[np.int64]


def draw(seeds: Sequence[int], available: int, number: int) -> Indices:
    """Return which of the available images each seed trains on, (R, N): drawn without replacement from its own stream.

    N is `number`, or all there are.
    """
    rows = [generator(seed, Stream.TRAINING_IMAGES).permutation(available)[:number] for seed in seeds]
    return np.stack(rows).astype(np.int64, copy=False)


class Drawn:
    """A split in which image n of replica r is image chosen[r, n] of a pool: each replica has N images of its own.

    Args:
        pool: what was drawn from, as far as it is used.
        chosen: (R, N), int64.
    """

    def __init__(self, pool: Tensors, chosen: Tensor) -> None:
        self.pool = pool
        self.chosen = chosen

    def __len__(self) -> int:
        return self.chosen.shape[1]

    def to(self, device: torch.device | str) -> Drawn:
        return Drawn(self.pool.to(device), self.chosen.to(device))

    def take(self, indices: Tensor, epoch: int = 0, seeds: Sequence[int] = ()) -> Content:
        return self.pool.take(self.chosen.gather(1, indices))

    def take_alone(self, indices: Tensor, epoch: int = 0, seed: int = 0) -> Content:
        return self.pool.take(self.chosen[0][indices])

    def ordered(self, start: int, stop: int) -> Content:
        """Return a part of the first replica's images in order."""
        return self.pool.take(self.chosen[0, start:stop])

    def ordered_of_each(self, start: int, stop: int) -> Content:
        """Return a part of each replica's images in order, (R, stop - start, ...)."""
        return self.pool.take(self.chosen[:, start:stop])
