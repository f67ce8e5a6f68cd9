"""What people should know of their data, said once in a process however often the data are looked at."""

from __future__ import annotations

import functools
import warnings


@functools.cache
def note(text: str) -> None:
    """Warn of something, the first time only; Python's own count begins anew whenever a filter is set."""
    warnings.warn(text, stacklevel=2)
