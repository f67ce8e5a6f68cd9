"""One process at a time trains a key: locks in the results folder that end with the process that holds them.

The file of a lock is taken away only by whoever holds it: a process that has opened it by then finds, once it has the
lock, that it is of no name any more, and begins anew. Not every network file system tells it so. Hence only the locks
of what has a record, which nobody will train, go by themselves; the others stay until `vgt records prune`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, Timeout

from vgtemplate.config.errors import UserError
from vgtemplate.locking import OWNER, acquire, release
from vgtemplate.records import record_path


def lock_folder(results: Path) -> Path:
    """Return the folder of the locks."""
    return results / ".locks"


def _path(results: Path, key: str) -> Path:
    return lock_folder(results) / f"{key}.lock"


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
        give_back(results, key, lock)


def lock_now(results: Path, key: str) -> BaseFileLock:
    """Return the permission to train a key, held until `give_back`; nothing is waited for.

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


def give_back(results: Path, key: str, lock: BaseFileLock) -> None:
    """Give back the permission to train a key; its file goes where the key has a record."""
    # A folder that refuses keeps an empty file.
    with contextlib.suppress(OSError):
        if record_path(results, key).exists():
            _path(results, key).unlink(missing_ok=True)
    release(lock)


@contextmanager
def hold_if_free(results: Path, key: str) -> Iterator[bool]:
    """Hold the permission to train a key while nobody has it; yields whether it is held, without waiting.

    Leaves no file: for whoever clears up.
    """
    try:
        lock = lock_now(results, key)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            _path(results, key).unlink(missing_ok=True)
        release(lock)


def is_held(results: Path, key: str) -> bool:
    """Say whether some process is training a key."""
    path = _path(results, key)
    try:
        if path.exists() or path.with_suffix(OWNER).exists():
            release(acquire(path, 0))
    except Timeout:
        return True
    except OSError:
        return False
    return False


def free_locks(results: Path) -> list[str]:
    """Return the keys of which there is a lock that nobody holds."""
    keys = sorted(path.stem for path in lock_folder(results).glob("*.lock"))
    return [key for key in keys if not is_held(results, key)]


def drop_locks(results: Path, keys: list[str]) -> None:
    """Remove locks that nobody holds."""
    for key in keys:
        with hold_if_free(results, key):
            pass
