"""One process at a time trains a key: locks in the results folder that end with the process that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vgtemplate.config.errors import UserError


def _lock(results: Path, key: str) -> FileLock:
    return FileLock(results / ".locks" / f"{key}.lock")


@contextmanager
def hold(results: Path, key: str) -> Iterator[bool]:
    """Hold the only permission to train a key (UserError: no lock can be written); yields whether it was waited for."""
    lock, waited = _lock(results, key), False
    try:
        (results / ".locks").mkdir(exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waited = True
            lock.acquire()
    except OSError as error:
        raise UserError(f"{lock.lock_file}: cannot be locked ({error.strerror})") from None
    try:
        yield waited
    finally:
        lock.release()


@contextmanager
def hold_if_free(results: Path, key: str) -> Iterator[bool]:
    """Hold the permission to train a key while nobody has it; yields whether it is held, without waiting."""
    lock = _lock(results, key)
    try:
        (results / ".locks").mkdir(exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise UserError(f"{lock.lock_file}: cannot be locked ({error.strerror})") from None
    try:
        yield True
    finally:
        lock.release()


def is_held(results: Path, key: str) -> bool:
    """Say whether some process is training a key."""
    lock = _lock(results, key)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:  # no folder of locks yet
        return False
    lock.release()
    return False
