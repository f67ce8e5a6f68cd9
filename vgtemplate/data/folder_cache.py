"""Keeps what a folder of pictures decodes to, in the user's own cache folder; never beside the pictures.

Content decides. The cache is found by the listing with each file's inode, size and times, the last of which (`ctime`,
when anything of the file changed) no program can set back. But not every file system keeps it (network, FUSE, FAT), an
administrator can set the clock, and a disk can fail. So each process reads all files once, without decoding them, and
holds their hash against that of the bytes which were decoded; from then on, in this process, the listing decides.
"""

from __future__ import annotations

import functools
import os
import time
import warnings
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import check_file
from vgtemplate.data.checksums import RACY_NANOSECONDS, content_hash
from vgtemplate.data.files import home_in
from vgtemplate.data.folder import Listing, decode_folder, hash_files, list_folder
from vgtemplate.data.images import Images

_FORMAT = "4"
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_BROKEN_CACHE = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


def cache_folder() -> Path:
    """Return where decoded pictures are kept: `vgtemplate/pictures` in XDG_CACHE_HOME, else in ~/.cache."""
    return home_in(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "vgtemplate" / "pictures"


class _Found(NamedTuple):
    """A folder's pictures and where the cache of just these is, or will be."""

    listing: Listing
    cache: Path
    changed: int
    """When a file of it was last changed, in nanoseconds since 1970."""

    @property
    def is_young(self) -> bool:
        """Whether another change could leave the same times: those of a file system go on in ticks."""
        return time.time_ns() - self.changed < RACY_NANOSECONDS


_read_once: set[Path] = set()
"""Caches whose files this process has read, and found to be those that were decoded."""


def _find(folder: Path) -> _Found:
    """List a folder's pictures; UserError if that cannot be done."""
    entries, changed = [], 0
    try:
        listing = list_folder(folder)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    try:
        for split, classes in listing.items():
            for path in (path for paths in classes.values() for path in paths):
                at = path.stat()
                times = f"{at.st_mtime_ns} {at.st_ctime_ns}"
                entries.append(f"{split}/{path.parent.name}/{path.name} {at.st_ino} {at.st_size} {times}")
                changed = max(changed, at.st_mtime_ns, at.st_ctime_ns)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read as a picture ({error.strerror})") from None
    place = content_hash(str(folder.resolve()))[:12]
    content = content_hash(_FORMAT, version("pillow"), *entries)[:20]
    return _Found(listing, cache_folder() / f"{place}-{content}.npz", changed)


def _is_current(archive: Any, found: _Found) -> bool:
    """Say whether a folder's files hold what was decoded into a cache; reads them once per process."""
    if found.cache in _read_once:
        return True
    if str(archive["files"]) != hash_files(found.listing):
        return False
    _remember(found)
    return True


def _remember(found: _Found) -> None:
    if not found.is_young:
        _read_once.add(found.cache)


def _read_cache(found: _Found) -> Images | None:
    try:
        check_file(found.cache)
        with np.load(found.cache, allow_pickle=False) as archive:
            if not _is_current(archive, found):
                return None
            arrays: dict[str, Any] = {name: archive[name] for name in _ARRAYS}
            arrays |= {"classes": tuple(map(str, archive["classes"])), "fingerprint": str(archive["fingerprint"])}
            return Images(**arrays, name="image_folder")
    except _BROKEN_CACHE:
        return None


def _write_cache(path: Path, images: Images, files: str) -> None:
    """Write what a folder's pictures decode to; drop the caches of the folder's earlier contents."""
    arrays: dict[str, Any] = {name: np.asarray(getattr(images, name)) for name in (*_ARRAYS, "classes", "fingerprint")}
    write = functools.partial(np.savez, allow_pickle=False, files=np.asarray(files), **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
        for old in path.parent.glob(f"{path.name.partition('-')[0]}-*.npz"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: the decoded pictures cannot be cached ({error.strerror}); they are decoded each time",
            stacklevel=2,
        )


def _decode(found: _Found) -> Images:
    images, files = decode_folder(found.listing)
    _write_cache(found.cache, images, files)
    _remember(found)
    return images


def load_folder(folder: Path) -> Images:
    """Return a folder's pictures, from the cache if it is unchanged since; UserError if it is unusable."""
    found = _find(folder)
    images = _read_cache(found)
    return _decode(found) if images is None else images


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder's pictures; decodes them if the cache is not up to date."""
    found = _find(folder)
    try:
        check_file(found.cache)
        with np.load(found.cache, allow_pickle=False) as archive:
            if _is_current(archive, found):
                return str(archive["fingerprint"])
    except _BROKEN_CACHE:
        pass
    return _decode(found).fingerprint
