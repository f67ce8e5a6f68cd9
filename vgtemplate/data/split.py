"""What a split is made of: tensors in memory, or a torch Dataset whose items are asked for when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import default_collate

from vgtemplate.config.own import their_errors
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.data.randomness import borrowed_generators, seed_generators

Content = Any
"""A tensor, or tuples and mappings of tensors, nested as one likes."""


def each_leaf(function: Callable[[Any], Any], content: Content) -> Content:
    """Return the same structure of tuples and mappings with `function` of each leaf."""
    if isinstance(content, Mapping):
        return {name: each_leaf(function, part) for name, part in content.items()}
    if isinstance(content, tuple):
        return tuple(each_leaf(function, part) for part in content)
    return function(content)


def each_tensor(function: Callable[[Tensor], Tensor], content: Content) -> Content:
    """Return the same structure with `function` of each tensor in it; what is no tensor stays."""
    if isinstance(content, list):  # as torch's collation makes of a tuple
        return [each_tensor(function, part) for part in content]
    if isinstance(content, Mapping):
        return {name: each_tensor(function, part) for name, part in content.items()}
    if isinstance(content, tuple):
        return tuple(each_tensor(function, part) for part in content)
    return function(content) if isinstance(content, Tensor) else content


class Split(Protocol):
    """What loaders need of a split."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> Split:
        """Return the split whose batches lie on a device."""

    def take(self, indices: Tensor, epoch: int, seeds: Sequence[int]) -> Content:
        """Return the batches of R replicas: of indices (R, B), tensors (R, B, ...)."""

    def take_alone(self, indices: Tensor, epoch: int, seed: int) -> Content:
        """Return the batch of one network: of indices (B,), tensors (B, ...)."""

    def ordered(self, start: int, stop: int) -> Content:
        """Return a part in order, (stop - start, ...), the same each time."""


class Tensors:
    """Tensors of N rows each."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self._lengths: list[int] = []
        each_tensor(self._measure, content)

    def _measure(self, tensor: Tensor) -> Tensor:
        self._lengths.append(len(tensor))
        return tensor

    def __len__(self) -> int:
        return self._lengths[0]

    def to(self, device: torch.device | str) -> Tensors:
        return Tensors(each_tensor(lambda tensor: tensor.to(device), self.content))

    def take(self, indices: Tensor, epoch: int = 0, seeds: Sequence[int] = ()) -> Content:
        flat = indices.reshape(-1)
        return each_tensor(
            lambda tensor: tensor.index_select(0, flat).view(*indices.shape, *tensor.shape[1:]), self.content
        )

    def take_alone(self, indices: Tensor, epoch: int = 0, seed: int = 0) -> Content:
        return self.take(indices)

    def ordered(self, start: int, stop: int) -> Content:
        return each_tensor(lambda tensor: tensor[start:stop], self.content)


class Items:
    """A torch Dataset of one's own.

    What an item draws from the global generators depends on (seed, epoch, index) alone, in evaluation on the index.

    Args:
        dataset: has a length, and gives item after item.
        what: the setting that it comes from, with which an error begins.
    """

    def __init__(self, dataset: Any, what: str, device: torch.device | str = "cpu") -> None:
        self.dataset = dataset
        self._what = what
        self._device = device

    def __len__(self) -> int:
        return len(self.dataset)

    def to(self, device: torch.device | str) -> Items:
        return Items(self.dataset, self._what, device)

    def _collate(self, indices: Sequence[int], seed: int, stream: Stream, *counters: int) -> Content:
        items = []
        with borrowed_generators(), their_errors(self._what):
            for index in indices:
                seed_generators(derive(seed, stream, *counters, index))
                items.append(self.dataset[index])
            return default_collate(items)

    def _moved(self, content: Content) -> Content:
        return each_tensor(lambda tensor: tensor.to(self._device), content)

    def take_alone(self, indices: Tensor, epoch: int, seed: int) -> Content:
        return self._moved(self._collate(indices.tolist(), seed, Stream.AUGMENTATION, epoch))

    def take(self, indices: Tensor, epoch: int, seeds: Sequence[int]) -> Content:
        rows = zip(seeds, indices.tolist(), strict=True)
        return self._moved(
            default_collate([self._collate(row, seed, Stream.AUGMENTATION, epoch) for seed, row in rows])
        )

    def ordered(self, start: int, stop: int) -> Content:
        return self._moved(self._collate(range(start, stop), 0, Stream.DATA))
