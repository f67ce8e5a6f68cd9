"""What processes leave that were cut off while they trained or wrote, and taking it away."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from vgtemplate.jobs.locks import is_held
from vgtemplate.records import record_path


def checkpoint_path(results: Path, key: str) -> Path:
    """Return the folder of the checkpoints of an arm that is being trained."""
    return results / ".checkpoints" / key


def drop_checkpoints(results: Path, key: str) -> None:
    """Remove an arm's checkpoints: its record is written, or it is to be trained from the beginning."""
    folder = checkpoint_path(results, key)
    if folder.is_symlink():  # what a link leads to is somebody else's
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep_checkpoints(results: Path) -> None:
    """Remove the checkpoints of arms that have a record: a process was killed when it had just written that."""
    for folder in (results / ".checkpoints").glob("*"):
        if record_path(results, folder.name).exists() and not is_held(results, folder.name):
            drop_checkpoints(results, folder.name)


def drop_leftovers(results: Path, key: str) -> None:
    """Remove what a process that was cut off while writing has left; only for whoever alone may train the key.

    A record that was to make room for a newer one, which never came, is put back.
    """
    for replaced in results.glob(f".replaced-{key}-*"):
        with contextlib.suppress(OSError):
            replaced.rename(record_path(results, key))
    for kind in ("writing", "replaced"):
        for leftover in results.glob(f".{kind}-{key}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
