"""Where every random number comes from: a seed, a named stream and counters (step, epoch), nothing else."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Independent streams of one seed; the numbers are part of every result, never change them."""

    WEIGHTS = 1
    BATCHES = 2
    NOISE = 3
    DATA = 4
    CHECKS = 5
    AUGMENTATION = 6
    TRAINING_IMAGES = 7


def derive(seed: int, stream: Stream, *counters: int) -> int:
    """Return a 63-bit seed that depends on (seed, stream, counters) alone (numpy.random.SeedSequence)."""
    words = np.random.SeedSequence([seed, int(stream), *counters]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def generator(seed: int, stream: Stream, *counters: int) -> np.random.Generator:
    """Return NumPy's generator for (seed, stream, counters)."""
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), *counters]))
