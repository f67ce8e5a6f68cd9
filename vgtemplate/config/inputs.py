"""Reads files that people name: only if they are files, and no larger than anything of their kind."""

from __future__ import annotations

import stat
from pathlib import Path

from vgtemplate.config.errors import UserError


def require_file(path: Path, most_bytes: int) -> None:
    """Make sure that a path can be read to its end: reading a pipe or a device would never end.

    Raises:
        UserError: there is nothing, or something else than a file, or one of more than `most_bytes`.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: cannot be read: is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no file'}")
    if status.st_size > most_bytes:
        raise UserError(f"{path}: has {status.st_size:,} bytes; allowed: at most {most_bytes:,}")


def read_input(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; UserError as `require_file` says, or if the system refuses to read it."""
    require_file(path, most_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
