"""Reads files that somebody else may have made: only if they are files, and no larger than anything of their kind.

Reading a pipe or a device would never end. Every file that the package reads is read here, or checked here before a
library reads it; `tests/core/test_architecture.py` names those that are not, and why.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from vgtemplate.config.errors import UserError


def check_file(path: Path, most_bytes: int = sys.maxsize) -> os.stat_result:
    """Return a file's status, once it is sure that the file can be read to its end.

    Raises:
        OSError: there is nothing, or the system does not tell.
        ValueError: it is something else than a file, or has more than `most_bytes`.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no file")
    if status.st_size > most_bytes:
        raise ValueError(f"it has {status.st_size:,} bytes; allowed: at most {most_bytes:,}")
    return status


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; OSError or ValueError as `check_file` says, or if the system refuses to read it."""
    check_file(path, most_bytes)
    return path.read_bytes()


def read_input(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; UserError with its name where `read_file` has an error."""
    try:
        return read_file(path, most_bytes)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path, most_bytes: int) -> str:
    """Return a file's text; UserError also where it is no UTF-8."""
    try:
        return read_input(path, most_bytes).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
