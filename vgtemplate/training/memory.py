"""What this process does with memory that it has freed; matters to speed alone, never to a number."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""
_MOST_MMAP_THRESHOLD = 32 * 2**20
"""What glibc allows at most."""


def _library() -> Any:
    """Return the C library, or None where the system offers no such access."""
    return ctypes.CDLL(None) if os.name == "posix" else None


def keep_freed_memory() -> None:
    """Keep what is freed for the next tensor of the same step, rather than hand it to the system and ask for it again.

    The tensors of each step are as large as those of the last. Handed back, every page of them is cleared and mapped
    anew at each step, which takes longer than the convolution that fills it. Only GNU's C library can be told.
    """
    set_option = getattr(_library(), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD)
        set_option(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_memory_back() -> None:
    """Hand what is freed to the system, once: another arm may need it in another process."""
    # A trainer and its module refer to each other, so they would wait for the collector.
    gc.collect()
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
