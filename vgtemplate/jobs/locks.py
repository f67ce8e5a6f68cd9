"""One process at a time trains a key: locks in the results folder that end with the process that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, Timeout

from vgtemplate.config.errors import UserError
from vgtemplate.locking import acquire, release


def _path(results: Path, key: str) -> Path:
    return results / ".locks" / f"{key}.lock"


@contextmanager
def hold(results: Path, key: str) -> Iterator[bool]:
    """Hold the only permission to train a key (UserError: no lock can be written); yields whether it was waited for."""
    path, waited = _path(results, key), False
    try:
        path.parent.mkdir(exist_ok=True)
        try:
            lock = acquire(path, 0)
        except Timeout:
            waited = True
            lock = acquire(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be locked ({error.strerror})") from None
    try:
        yield waited
    finally:
        release(lock)


def lock_now(results: Path, key: str) -> BaseFileLock:
    """Return the permission to train a key, held until it is released (`locking.release`); nothing is waited for.

    Raises:
        filelock.Timeout: another process has it.
        UserError: no lock can be written.
    """
    path = _path(results, key)
    try:
        path.parent.mkdir(exist_ok=True)
        return acquire(path, 0)
    except Timeout:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be locked ({error.strerror})") from None


@contextmanager
def hold_if_free(results: Path, key: str) -> Iterator[bool]:
    """Hold the permission to train a key while nobody has it; yields whether it is held, without waiting."""
    try:
        lock = lock_now(results, key)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        release(lock)


def is_held(results: Path, key: str) -> bool:
    """Say whether some process is training a key."""
    try:
        release(acquire(_path(results, key), 0))
    except Timeout:
        return True
    except OSError:  # no folder of locks yet
        return False
    return False
