"""A file or a folder on disk appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk; it can be half there when the process is cut off."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


_TRIES = 100


def put_in_place(staging: Path, target: Path, aside: Path) -> None:
    """Rename a folder to its name; what has that name is put aside until then, and comes back if it fails (OSError).

    Where other processes do the same at the same time, one of the folders stays.
    """
    try:
        if target.is_symlink() or target.is_file():
            # What a link leads to is somebody else's.
            target.unlink(missing_ok=True)
        for left in reversed(range(_TRIES)):
            try:
                with contextlib.suppress(FileNotFoundError):
                    target.rename(aside)
                staging.rename(target)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                    raise
                shutil.rmtree(aside, ignore_errors=True)  # another folder has come in between
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    sync_folder(target.parent)


def write_whole(path: Path, content: str | bytes | Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name, flush it, and rename it; readable by all.

    Args:
        path: the file; where the disk refuses (OSError), nothing is left behind, and what was there stays.
        content: what it is to hold, or what writes that into the open file it is called with.
    """
    descriptor, staging = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(staging).chmod(0o644)
        Path(staging).replace(path)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
