"""Which images a replica sees at which step, and the loaders that gather them; owns no images.

The batch of a step is a pure function of (seed, step): nothing else is remembered, so any step can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.augment import CropFlip
from vgtemplate.data.drawn import Drawn
from vgtemplate.data.split import Content, Split, each_tensor


class BatchOrder:
    """The order of the images in each replica's epochs: a permutation drawn from (seed, epoch) alone.

    An epoch's last incomplete batch is left out; a batch larger than the data set is the whole data set.

    Args:
        seeds: one per replica; each draws from its own stream BATCHES.
        num_images: N.
        batch_size: B, clipped to N.
    """

    def __init__(
        self, seeds: Sequence[int], num_images: int, batch_size: int, device: torch.device | str = "cpu"
    ) -> None:
        self.seeds = tuple(seeds)
        self.num_images = num_images
        self.batch_size = min(batch_size, num_images)
        self.steps_per_epoch = num_images // self.batch_size
        self.device = device
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def _order_of(self, epoch: int) -> Tensor:
        """Return the epoch's permutations, (R, N); the latest epoch's are kept."""
        if epoch != self._epoch:
            orders = [generator(seed, Stream.BATCHES, epoch).permutation(self.num_images) for seed in self.seeds]
            self._order = torch.from_numpy(np.stack(orders).astype(np.int64, copy=False)).to(self.device)
            self._epoch = epoch
        return self._order

    def indices(self, step: int) -> Tensor:
        """Return the images of each replica's batch number `step`, counted over all epochs: (R, B), int64."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._order_of(epoch)[:, index * self.batch_size : (index + 1) * self.batch_size]


class TrainBatches:
    """Yields each step's batch, (R, B, ...), e.g. (images (R, B, C, H, W), labels (R, B)).

    Every iteration starts at the current position and is one epoch long. Inside a Trainer the position is the
    Trainer's own count of processed batches, which it saves with every checkpoint and which is right wherever a run
    was stopped; Lightning hands a loader's state back only if the epoch had not ended.

    Args:
        split: what the batches are taken from; tensors of it are gathered on their device, by one index_select each.
        order: which of it at which step; on the tensors' device.
        rank: of this process, which yields the slice [rank*B/W, (rank+1)*B/W) of each replica's batch.
        world_size: W, number of processes; it must divide B.
        processed: returns the number of batches already trained on; None: count those yielded.
        augment: crops and flips the images, the first of a batch's tensors.
        alone: give the only replica's batches without the replica axis, (B, ...).
    """

    def __init__(
        self,
        split: Split,
        order: BatchOrder,
        rank: int = 0,
        world_size: int = 1,
        processed: Callable[[], int] | None = None,
        augment: CropFlip | None = None,
        alone: bool = False,
    ) -> None:
        if order.batch_size % world_size:
            raise ValueError(f"{world_size} processes cannot share a batch of {order.batch_size}")
        share = order.batch_size // world_size
        self._split = split
        self._order = order
        self._slice = slice(rank * share, (rank + 1) * share)
        self._processed = processed
        self._augment = augment
        self._alone = alone
        self._yielded = 0

    @property
    def position(self) -> int:
        """The step whose batch comes next."""
        return self._yielded if self._processed is None else self._processed()

    def __len__(self) -> int:
        return self._order.steps_per_epoch

    def __iter__(self) -> Iterator[Content]:
        first = self.position
        for step in range(first, first + len(self)):
            self._yielded = step + 1
            yield self.batch(step)

    def batch(self, step: int) -> Content:
        """Return this process's share of the batch of any step."""
        indices = self._order.indices(step)[:, self._slice]
        epoch, index = divmod(step, len(self))
        if self._augment is not None:
            images, *others = self._split.take(indices, epoch, self._order.seeds)
            first = index * self._order.batch_size
            images = self._augment(images, epoch, slice(first + self._slice.start, first + self._slice.stop))
            batch = (images, *others)
            return each_tensor(lambda tensor: tensor[0], batch) if self._alone else batch
        if self._alone:
            return self._split.take_alone(indices[0], epoch, self._order.seeds[0])
        return self._split.take(indices, epoch, self._order.seeds)

    def state_dict(self) -> dict[str, int]:
        """Return the position, for Lightning's checkpoint or one's own."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue at a saved position; inside a Trainer its restored count says the same."""
        self._yielded = state["position"]


def _parts(start: int, stop: int, number: int) -> list[tuple[int, int]]:
    """Divide a range into so many parts, the first ones longer by one where they cannot be equal."""
    size, longer = divmod(stop - start, number)
    bounds = [start + part * size + min(part, longer) for part in range(number + 1)]
    return list(pairwise(bounds))


class EvaluationBatches:
    """Yields a split in order, batches (R, b, ...): each replica's own images, or the same for all without a copy.

    Args:
        split: what the batches are taken from.
        num_replicas: R; None: give (b, ...), without the replica axis.
        batch_size: most images of a batch (one more where the processes' shares differ); every replica sees them, so
            that a convolutional population needs R times the memory of one network.
        rank: of this process, which yields its share of the images; all of them if there are fewer than processes.
        world_size: W, number of processes; each yields equally many batches.
    """

    def __init__(
        self, split: Split, num_replicas: int | None, batch_size: int = 100, rank: int = 0, world_size: int = 1
    ) -> None:
        smallest_share, start, stop = len(split), 0, len(split)
        if len(split) >= world_size:
            smallest_share = len(split) // world_size
            start, stop = _parts(0, len(split), world_size)[rank]
        self._split = split
        self._num_replicas = num_replicas
        number = -(-smallest_share // batch_size)
        self._bounds = _parts(start, stop, number) if number else []

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self) -> Iterator[Content]:
        for start, stop in self._bounds:
            if self._num_replicas is None:
                yield self._split.ordered(start, stop)
            elif isinstance(self._split, Drawn):
                yield self._split.ordered_of_each(start, stop)
            else:
                yield expanded(self._split.ordered(start, stop), self._num_replicas)


def expanded(batch: Content, num_replicas: int) -> Content:
    """Return a batch (b, ...) as every replica sees it, (R, b, ...), without a copy."""
    return each_tensor(lambda tensor: tensor.expand(num_replicas, *tensor.shape), batch)
