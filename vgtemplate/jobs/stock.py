"""What a results folder holds: each record with its state, and what nobody needs any more."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from vgtemplate.config.errors import UserError
from vgtemplate.config.key import package_code
from vgtemplate.jobs.job import key_of
from vgtemplate.jobs.leftovers import checkpoint_path
from vgtemplate.jobs.locks import drop_locks, free_locks, hold_if_free, is_held, lock_folder
from vgtemplate.jobs.schema import missing_series
from vgtemplate.records import Record, RecordError, open_record, record_path

State = Literal["intact", "stale", "damaged", "foreign", "unreadable"]
"""Stale: intact, but made by another version of the source. Unreadable: the system refuses it just now."""
UNUSABLE: tuple[State, ...] = ("damaged", "foreign")
"""What is proven to be no record of its key."""
_KEY = re.compile(r"[0-9a-f]{20}")
_YOUNG_SECONDS = 3600.0
"""A temporary file that is no older may still be written to."""


class Entry(NamedTuple):
    """A record, or what lies where one should."""

    key: str
    state: State
    why: str
    """Why it is not intact; empty where it is."""
    record: Record | None
    num_bytes: int
    written: float
    """Seconds since 1970."""


class Waste(NamedTuple):
    """Something that can be removed."""

    path: Path
    why: str
    num_bytes: int
    key: str
    """Whoever trains this key holds the lock that keeps it; empty if nobody can."""
    is_held: bool


def examine(results: Path) -> Iterator[Entry]:
    """Yield what a results folder holds, by key; each record is read whole, and let go with its entry."""
    for path in sorted(results.iterdir()) if results.is_dir() else ():
        is_record = any((path / name).exists() for name in ("record.json", "series.npz"))
        if _KEY.fullmatch(path.name) or (is_record and not path.name.startswith(".")):
            state, why, record = _judge(results, path.name)
            yield Entry(path.name, state, why, record, _size(path), path.lstat().st_mtime)


def _judge(results: Path, key: str) -> tuple[State, str, Record | None]:
    try:
        record = open_record(results, key)
    except RecordError as error:
        return "damaged", str(error), None
    except OSError as error:
        return "unreadable", str(error.strerror), None
    if not record.code:
        return "stale", "made by a version that did not note its source", record
    try:
        computed, present = key_of(record), package_code(record.configuration)
    except RecordError as error:
        return "foreign", str(error), record
    except (TypeError, AttributeError):
        return "foreign", "its settings are none of an arm", record
    if computed != key:
        return "foreign", f"what it says of itself has the key {computed}", record
    # Of an exact check, which takes a kilobyte, the source is the laboratory's.
    if record.seeds and not present.items() <= record.code.items():
        return "stale", "made by another version of the source", record
    if lacking := missing_series(record):
        return "damaged", f"it lacks the series {lacking[0]}", record
    return "intact", "", record


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder, 0 if it has just gone; links are not followed."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(map(_size, path.iterdir()))
    except FileNotFoundError:
        return 0


def find_waste(results: Path, stale: bool = False) -> list[Waste]:
    """Return what can be removed: unusable records, what was left by processes that were cut off, spent checkpoints.

    Args:
        stale: also records that were made by another version of the source.
    """
    entries = [entry._replace(record=None) for entry in examine(results)]
    unwanted = (*UNUSABLE, "stale") if stale else UNUSABLE
    usable = {entry.key for entry in entries if entry.state not in UNUSABLE}
    # Records come last: without its record a checkpoint would not be spent.
    found = [*_spent_checkpoints(results, usable), *_leftovers(results)]
    for entry in entries:
        if entry.state in unwanted:
            found.append((record_path(results, entry.key), f"{entry.state} record: {entry.why}", entry.key))
    if locks := free_locks(results):
        found.append((lock_folder(results), f"locks that nobody holds: {len(locks)}", ""))
    return [Waste(path, why, _size(path), key, bool(key) and is_held(results, key)) for path, why, key in found]


def _spent_checkpoints(results: Path, usable: Collection[str]) -> Iterator[tuple[Path, str, str]]:
    folder = results / ".checkpoints"
    for path in sorted(folder.glob("*")):
        if path.name in usable:
            yield path, "checkpoints of what has a record", path.name
        else:
            for aside in sorted(path.rglob("*.unusable")):
                yield aside, "a checkpoint that could not be used", path.name


def _leftovers(results: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield path, what it is and its key; a record that waits for one that never came is none: it will be put back."""
    for path in sorted([*results.glob(".writing-*-*"), *results.glob(".replaced-*-*")]):
        kind, key = path.name[1:].split("-", 1)[0], path.name.split("-", 1)[1].rpartition("-")[0]
        if kind == "writing" or record_path(results, key).exists():
            yield path, "left by a process that was cut off", key
    for folder in ("report", "tracking", "stability"):
        for path in sorted((results / folder).rglob(".writing-*")):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _YOUNG_SECONDS:
                    yield path, "left by a process that was cut off", ""


def remove(results: Path, waste: Waste) -> bool:
    """Remove something; False if its key is being trained, or if it is no longer what it was when it was found.

    Raises:
        UserError: the system refuses.
    """
    if waste.path == lock_folder(results):
        drop_locks(results, free_locks(results))
        return True
    if not waste.key:
        return _remove(waste.path)
    with hold_if_free(results, waste.key) as is_mine:
        record = record_path(results, waste.key)
        if not is_mine or (waste.path == record and _judge(results, waste.key)[0] == "intact"):
            return False
        if not record.exists() and waste.path in (checkpoint_path(results, waste.key), *_replaced(results, waste.key)):
            return False
        return _remove(waste.path)


def _replaced(results: Path, key: str) -> Iterator[Path]:
    return results.glob(f".replaced-{key}-*")


def _remove(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be removed ({error.strerror})") from None
    return True
