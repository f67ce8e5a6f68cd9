"""Reads a folder of pictures, PATH/train/CLASS/* and PATH/test/CLASS/*; decodes it once and keeps a cache.

Never trusts the cache beyond its listing: a picture added, removed, resized or touched is decoded anew.
"""

from __future__ import annotations

import functools
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.checksums import content_hash
from vgtemplate.data.images import Bytes, Images, Labels, as_labels, content_fingerprint

CACHE_FOLDER = "image_folder_cache"
_FORMAT = "3"
_SPLITS = ("train", "test")
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_GREY_MODES = {"1", "L", "LA", "La"}
_SIXTEEN_BIT_MODES = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
_BROKEN_CACHE = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)
# Pillow would read more, some of it (EPS) with the help of other programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

Listing = dict[str, dict[str, list[Path]]]
"""Split -> class -> its pictures, sorted."""


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _list_split(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; an image folder has train/CLASS/* and test/CLASS/*")
    classes: dict[str, list[Path]] = {}
    for path in _visible(folder):
        if not path.is_dir():
            raise UserError(f"{path}: must be a folder named after a class, with its pictures")
        classes[path.name] = _visible(path)
        if not classes[path.name]:
            raise UserError(f"{path}: this class has no picture")
    if not classes:
        raise UserError(f"{folder}: holds no class; an image folder has train/CLASS/* and test/CLASS/*")
    return classes


def list_folder(folder: Path) -> Listing:
    """Return the pictures of a folder by split and class; hidden files are passed over.

    Raises:
        UserError: a split or a class is missing or empty, or the splits differ in their classes.
    """
    listing = {split: _list_split(folder / split) for split in _SPLITS}
    for split, other in (_SPLITS, _SPLITS[::-1]):
        if alone := sorted(listing[split].keys() - listing[other].keys()):
            raise UserError(
                f"{folder}: train/ and test/ must have the same classes; only in {split}/: {', '.join(alone)}"
            )
    return listing


def _decode(path: Path) -> Bytes:
    """Return one picture, (H, W) if it is grey and (H, W, 3) otherwise; transparency is dropped."""
    try:
        if not path.is_file():
            # Reading a pipe or a device would never end.
            raise ValueError("it is no file")
        with warnings.catch_warnings():
            # Of all that Pillow warns of, only a picture large enough to fill the memory matters here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as picture:
                return _as_bytes(picture)
    except Exception as error:  # each of Pillow's decoders has errors of its own
        reason = " ".join(str(error).replace(str(path), "the file").split())
        raise UserError(f"{path}: cannot be read as a picture ({reason or type(error).__name__})") from None


def _as_bytes(picture: Image.Image) -> Bytes:
    if picture.mode == "F":
        raise ValueError("its values are floating-point numbers of unknown range")
    if picture.mode not in _SIXTEEN_BIT_MODES:
        return np.asarray(picture.convert("L" if picture.mode in _GREY_MODES else "RGB"))
    wide = np.asarray(picture).astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise ValueError("its values are not 16-bit")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)


def _check_sizes(pictures: dict[str, dict[Path, Bytes]]) -> None:
    first: tuple[Path, tuple[int, ...]] | None = None
    for split in _SPLITS:
        for path, picture in pictures[split].items():
            first = first or (path, picture.shape[:2])
            if picture.shape[:2] != first[1]:
                sizes = [f"{shape[1]}x{shape[0]}" for shape in (picture.shape, first[1])]
                raise UserError(
                    f"{path}: is {sizes[0]} pixels, but {first[0]} is {sizes[1]}; all pictures must have one size"
                )


def _stack(pictures: list[Bytes], grey: bool) -> Bytes:
    if grey:
        return np.stack(pictures)[:, None]
    colour = [np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture for picture in pictures]
    return np.ascontiguousarray(np.stack(colour).transpose(0, 3, 1, 2))


def decode_folder(listing: Listing) -> Images:
    """Decode every picture: RGB, or one channel if all of them are grey; 16 bits are rounded to 8.

    Each split is in a fixed random order: its first 10,000 images would be of its first classes.

    Raises:
        UserError: a file is no picture, or has another size than the first.
    """
    pictures = {
        split: {path: _decode(path) for paths in listing[split].values() for path in paths} for split in _SPLITS
    }
    _check_sizes(pictures)
    grey = all(picture.ndim == 2 for split in _SPLITS for picture in pictures[split].values())
    splits: dict[str, tuple[Bytes, Labels]] = {}
    for split, classes in listing.items():
        labels = as_labels(np.repeat(np.arange(len(classes)), [len(paths) for paths in classes.values()]))
        order = generator(0, Stream.DATA, _SPLITS.index(split)).permutation(len(labels))
        splits[split] = np.ascontiguousarray(_stack(list(pictures.pop(split).values()), grey)[order]), labels[order]
    images = Images(*splits["train"], *splits["test"], classes=tuple(listing["train"]), name="image_folder")
    return replace(images, fingerprint=content_fingerprint(images))


def _cache_path(folder: Path, listing: Listing, root: Path) -> Path:
    entries = []
    for split, classes in listing.items():
        for paths in classes.values():
            for path in paths:
                stat = path.stat()
                entries.append(f"{split}/{path.parent.name}/{path.name} {stat.st_size} {stat.st_mtime_ns}")
    place = content_hash(str(folder.resolve()))[:12]
    content = content_hash(_FORMAT, version("pillow"), *entries)[:20]
    return root / CACHE_FOLDER / f"{place}-{content}.npz"


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


def _open_folder(folder: Path, root: Path) -> tuple[Listing, Path]:
    try:
        listing = list_folder(folder)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    try:
        return listing, _cache_path(folder, listing, root)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read as a picture ({error.strerror})") from None


def load_folder(folder: Path, root: Path) -> Images:
    """Return a folder's pictures, from the cache under `root` if it is unchanged since; UserError if it is unusable."""
    listing, cache = _open_folder(folder, root)
    images = _read_cache(cache)
    if images is None:
        images = decode_folder(listing)
        _write_cache(cache, images)
    return images


def folder_fingerprint(folder: Path, root: Path) -> str:
    """Return the fingerprint of a folder's pictures; decodes them if the cache is not up to date."""
    _, cache = _open_folder(folder, root)
    try:
        with np.load(cache, allow_pickle=False) as archive:
            return str(archive["fingerprint"])
    except _BROKEN_CACHE:
        return load_folder(folder, root).fingerprint


def read_pictures(files: Sequence[Path], shape: Sequence[int]) -> Bytes:
    """Return pictures as (N, C, H, W) of 8 bits, resized and converted where they are of another size or colour.

    Raises:
        UserError: a file is no picture, or the network wants neither one channel nor three.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"the network wants {channels} channels; a picture has 1 or 3")
    pictures = []
    for file in files:
        picture = Image.fromarray(_decode(file)).convert("L" if channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pictures.append(np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pictures))
