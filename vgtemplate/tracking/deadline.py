"""Waits for what may never end, such as a server that sends a byte per second, no longer than agreed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises; it works in a thread of its own.

    Raises:
        TimeoutError: it takes longer; the thread is left behind, and ends with the process.
    """
    ended: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put(([work()], None))
        except BaseException as error:  # handed to whoever waits
            ended.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        results, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return results[0]
