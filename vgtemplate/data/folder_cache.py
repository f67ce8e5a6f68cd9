"""Keeps what a folder of pictures decodes to, in the user's own cache folder; never beside the pictures.

Never trusts the cache beyond its listing: a picture added, removed, resized or touched is decoded anew.
"""

from __future__ import annotations

import functools
import os
import warnings
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.data.checksums import content_hash
from vgtemplate.data.files import home_in
from vgtemplate.data.folder import Listing, decode_folder, list_folder
from vgtemplate.data.images import Images

_FORMAT = "3"
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_BROKEN_CACHE = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


def cache_folder() -> Path:
    """Return where decoded pictures are kept: `vgtemplate/pictures` in XDG_CACHE_HOME, else in ~/.cache."""
    return home_in(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "vgtemplate" / "pictures"


def _cache_path(folder: Path, listing: Listing) -> Path:
    entries = []
    for split, classes in listing.items():
        for paths in classes.values():
            for path in paths:
                stat = path.stat()
                entries.append(f"{split}/{path.parent.name}/{path.name} {stat.st_size} {stat.st_mtime_ns}")
    place = content_hash(str(folder.resolve()))[:12]
    content = content_hash(_FORMAT, version("pillow"), *entries)[:20]
    return cache_folder() / f"{place}-{content}.npz"


def _read_cache(path: Path) -> Images | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found: dict[str, Any] = {name: archive[name] for name in _ARRAYS}
            found |= {"classes": tuple(map(str, archive["classes"])), "fingerprint": str(archive["fingerprint"])}
            return Images(**found, name="image_folder")
    except _BROKEN_CACHE:
        return None


def _write_cache(path: Path, images: Images) -> None:
    """Write what a folder's pictures decode to; drop the caches of the folder's earlier contents."""
    arrays: dict[str, Any] = {name: np.asarray(getattr(images, name)) for name in (*_ARRAYS, "classes", "fingerprint")}
    write = functools.partial(np.savez, allow_pickle=False, **arrays)
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


def _open_folder(folder: Path) -> tuple[Listing, Path]:
    try:
        listing = list_folder(folder)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    try:
        return listing, _cache_path(folder, listing)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read as a picture ({error.strerror})") from None


def load_folder(folder: Path) -> Images:
    """Return a folder's pictures, from the cache if it is unchanged since; UserError if it is unusable."""
    listing, cache = _open_folder(folder)
    images = _read_cache(cache)
    if images is None:
        images = decode_folder(listing)
        _write_cache(cache, images)
    return images


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder's pictures; decodes them if the cache is not up to date."""
    _, cache = _open_folder(folder)
    try:
        with np.load(cache, allow_pickle=False) as archive:
            return str(archive["fingerprint"])
    except _BROKEN_CACHE:
        return load_folder(folder).fingerprint
