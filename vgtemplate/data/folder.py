"""Reads a folder of pictures, PATH/train/CLASS/* and PATH/test/CLASS/*; keeps nothing (folder_cache.py does)."""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_file
from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.checksums import content_hash
from vgtemplate.data.images import Bytes, Images, Labels, as_labels, content_fingerprint
from vgtemplate.data.notes import note

_SPLITS = ("train", "test")
_GREY_MODES = {"1", "L", "LA", "La"}
_SIXTEEN_BIT_MODES = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
# Pillow would read more, some of it (EPS) with the help of other programs.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MOST_BYTES = 2**28
"""More than any file of a picture has."""

Listing = dict[str, dict[str, list[Path]]]
"""Split -> class -> its pictures, sorted."""


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


@functools.cache
def _endings() -> frozenset[str]:
    """Return the endings of files that call themselves pictures, whether they can be read or not."""
    return frozenset(Image.registered_extensions())


def _is_stray(path: Path) -> bool:
    """Say whether a file neither calls itself a picture nor is one, such as Thumbs.db or readme.txt."""
    if path.suffix.lower() in _endings() or not path.is_file():
        return False
    try:
        with Image.open(path, formats=_FORMATS):
            return False
    except Exception:  # each of Pillow's decoders has errors of its own
        return True


def _list_split(folder: Path, strays: list[Path]) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; an image folder has train/CLASS/* and test/CLASS/*")
    classes: dict[str, list[Path]] = {}
    for path in _visible(folder):
        if path.is_dir():
            found = _visible(path)
            strays += (odd := [each for each in found if _is_stray(each)])
            classes[path.name] = [each for each in found if each not in odd]
            if not classes[path.name]:
                raise UserError(f"{path}: this class has no picture")
        elif _is_stray(path):
            strays.append(path)
        else:
            raise UserError(f"{path}: must be a folder named after a class, with its pictures")
    if not classes:
        raise UserError(f"{folder}: holds no class; an image folder has train/CLASS/* and test/CLASS/*")
    return classes


def list_folder(folder: Path) -> Listing:
    """Return the pictures of a folder by split and class.

    Hidden files are passed over; so are others that neither call themselves pictures nor are any, which is said.

    Raises:
        UserError: a split or a class is missing or empty, or the splits differ in their classes.
    """
    strays: list[Path] = []
    listing = {split: _list_split(folder / split, strays) for split in _SPLITS}
    for split, other in (_SPLITS, _SPLITS[::-1]):
        if alone := sorted(listing[split].keys() - listing[other].keys()):
            raise UserError(
                f"{folder}: train/ and test/ must have the same classes; only in {split}/: {', '.join(alone)}"
            )
    if strays:
        more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
        note(f"{strays[0]}{more}: no picture, passed over")
    return listing


def _read(path: Path) -> bytes:
    """Return a picture's bytes; UserError: there are none, or more than any has."""
    try:
        return read_file(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: cannot be read as a picture ({reason})")


def _decode(path: Path, content: bytes) -> Bytes:
    """Return one picture, (H, W) if it is grey and (H, W, 3) otherwise; transparency is dropped."""
    stream = io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            # Of all that Pillow warns of, only a picture large enough to fill the memory matters here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_FORMATS) as picture:
                return _as_bytes(picture)
    except Exception as error:  # each of Pillow's decoders has errors of its own
        reason = " ".join(str(error).replace(repr(stream), "the file").split())
        raise _unreadable(path, reason or type(error).__name__) from None


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


def hash_files(listing: Listing) -> str:
    """Return the hash of what a folder's files hold; reads them all, and decodes none."""
    return content_hash(*(hashlib.sha256(_read(path)).digest() for path in _paths(listing)))


def _paths(listing: Listing) -> Iterator[Path]:
    return (path for classes in listing.values() for paths in classes.values() for path in paths)


def decode_folder(listing: Listing) -> tuple[Images, str]:
    """Decode every picture: RGB, or one channel if all of them are grey; 16 bits are rounded to 8.

    Each split is in a fixed random order: its first 10,000 images would be of its first classes. Returned with the
    images is the hash of the very bytes that were decoded, as `hash_files` has it.

    Raises:
        UserError: a file is no picture, or has another size than the first.
    """
    pictures: dict[str, dict[Path, Bytes]] = {split: {} for split in _SPLITS}
    hashes = []
    for split, classes in listing.items():
        for path in (path for paths in classes.values() for path in paths):
            content = _read(path)
            hashes.append(hashlib.sha256(content).digest())
            pictures[split][path] = _decode(path, content)
    _check_sizes(pictures)
    grey = all(picture.ndim == 2 for split in _SPLITS for picture in pictures[split].values())
    splits: dict[str, tuple[Bytes, Labels]] = {}
    for split, classes in listing.items():
        labels = as_labels(np.repeat(np.arange(len(classes)), [len(paths) for paths in classes.values()]))
        order = generator(0, Stream.DATA, _SPLITS.index(split)).permutation(len(labels))
        splits[split] = np.ascontiguousarray(_stack(list(pictures.pop(split).values()), grey)[order]), labels[order]
    images = Images(*splits["train"], *splits["test"], classes=tuple(listing["train"]), name="image_folder")
    return replace(images, fingerprint=content_fingerprint(images)), content_hash(*hashes)


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
        picture = Image.fromarray(_decode(file, _read(file))).convert("L" if channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pictures.append(np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pictures))
