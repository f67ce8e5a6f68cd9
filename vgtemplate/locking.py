"""A lock in a folder that ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

OWNER = ".owner"
"""The ending of the file that says who holds a lock, where the file system knows none."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system says that knows no locks."""


def acquire(path: Path, seconds: float = -1) -> BaseFileLock:
    """Return the lock `path`, held until `release`; wait for it for so many seconds at most, -1: for ever.

    The kernel takes it back when the process ends. Where the file system knows no locks, a file beside it says
    which process of which machine holds it, and since when; one whose process has ended is taken over.

    Raises:
        filelock.Timeout: another process holds it.
        OSError: it cannot be written.
    """
    lock: BaseFileLock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(seconds)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # Another name: the file of the lock itself stays when a lock ends, and would look like one that is held.
        lock = SoftFileLock(path.with_suffix(OWNER))
        lock.acquire(seconds)
    return lock


def release(lock: BaseFileLock) -> None:
    """Give a lock back; a disk that refuses even that must not hide what else it refused: the process's end does it."""
    with contextlib.suppress(OSError):
        lock.release()
