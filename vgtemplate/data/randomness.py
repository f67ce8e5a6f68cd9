"""The global generators, which people's own code draws from: seeded for it, and given back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch (on the processor), NumPy and Python."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def seed_all(seed: int) -> None:
    """Seed them, and those of the GPUs too."""
    torch.manual_seed(seed)
    seed_generators(seed)


@contextmanager
def borrowed_generators() -> Iterator[None]:
    """Leave the global generators on the processor, when the block ends, as they were when it began."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
