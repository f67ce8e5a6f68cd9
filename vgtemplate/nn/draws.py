"""Random numbers in the forward pass of people's own networks: each replica draws its own, new at each step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vgtemplate.config.seeding import Stream, derive


def _noise_seed(seed: int, step: int) -> int:
    """Return what a replica's generators start from at a step; below 0 are the batches of an evaluation."""
    return derive(seed, Stream.NOISE, 0, step) if step >= 0 else derive(seed, Stream.NOISE, 1, -1 - step)


class Draws:
    """Lends the global generators to one replica after the other; each goes on where it stopped.

    These are torch's, and those of Python and NumPy, since people's networks draw from them too.
    """

    def __init__(self, seeds: Sequence[int], step: int, device: torch.device) -> None:
        self.seeds = seeds
        self.step = step
        torch_generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            torch_generators.append(torch.cuda.default_generators[index])
        self._seeders: list[Callable[[int], object]] = [each.manual_seed for each in torch_generators]
        self._seeders += [random.seed, lambda seed: np.random.seed(seed % 2**32)]
        self._getters: list[Callable[[], Any]] = [each.get_state for each in torch_generators]
        self._getters += [random.getstate, np.random.get_state]
        self._setters: list[Callable[[Any], object]] = [each.set_state for each in torch_generators]
        self._setters += [random.setstate, np.random.set_state]
        self.states: dict[int, list[Any]] = {}

    @contextmanager
    def of(self, replica: int) -> Iterator[None]:
        """Within it, whatever is drawn is this replica's."""
        saved = self._get()
        if replica in self.states:
            self._set(self.states[replica])
        else:
            seed = _noise_seed(self.seeds[replica], self.step)
            for seeder in self._seeders:
                seeder(seed)
        try:
            yield
        finally:
            self.states[replica] = self._get()
            self._set(saved)

    def _get(self) -> list[Any]:
        return [getter() for getter in self._getters]

    def _set(self, states: list[Any]) -> None:
        for setter, state in zip(self._setters, states, strict=True):
            setter(state)


class OwnNoise(TorchDispatchMode):
    """Turns a random operation on R replicas into R operations, each on one replica's rows with its own generator.

    It stands below vmap, which puts the replica axis in front of whatever a random operation returns.
    """

    def __init__(self, draws: Draws) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws = draws

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        num_replicas = len(self.draws.seeds)
        sizes = [size for size in map(_leading_size, args) if size is not None]
        if not sizes or sizes[0] % num_replicas or len(func._schema.returns) != 1:
            with self.draws.of(0):
                return func(*args, **kwargs)
        parts = []
        for replica in range(num_replicas):
            own = [_rows(entry, replica, num_replicas) for entry in args]
            with self.draws.of(replica):
                parts.append(func(*own, **kwargs))
        return args[0] if func._schema.is_mutable else torch.cat(parts)


def _leading_size(entry: Any) -> int | None:
    if isinstance(entry, Tensor):
        return entry.shape[0] if entry.dim() else None
    return entry[0] if isinstance(entry, (list, tuple)) and entry else None


def _rows(entry: Any, replica: int, num_replicas: int) -> Any:
    size = _leading_size(entry)
    if size is None:
        return entry
    rows = size // num_replicas
    if isinstance(entry, Tensor):
        return entry[replica * rows : (replica + 1) * rows]
    return [rows, *entry[1:]]
