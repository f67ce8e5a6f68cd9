"""Loads a data set with its official split into arrays; never from a file that is not verified."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vgtemplate.config.catalogue import DATASETS
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.checksums import FILES, files_fingerprint, files_of, read_verified, require_intact
from vgtemplate.data.files import folder_of, is_present, resolve
from vgtemplate.data.folder_cache import folder_fingerprint, load_folder
from vgtemplate.data.images import Bytes, Images, Labels, as_labels, content_fingerprint
from vgtemplate.data.synthetic import draw_synthetic, synthetic_fingerprint
from vgtemplate.data.unpickle import read_table

Loader = Callable[[DataConfig, Path], Images]
LOADERS: dict[str, Loader] = {}
"""By name; a data set is one function: its loader, (configuration, data folder) to Images, below its decorator."""
dataset = DATASETS.decorator(LOADERS)
DIGITS_TRAIN = 1_437
"""The first of scikit-learn's 1,797 digits; the last 360 are the test split."""
_IDX_UINT8 = b"\0\0\x08"
_DIGIT_NAMES = tuple(str(digit) for digit in range(10))
_CLASSES = {
    "mnist": _DIGIT_NAMES,
    # torchvision/datasets/mnist.py
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def read_idx(content: bytes, path: str) -> Bytes:
    """Return the array of an IDX file of unsigned bytes (LeCun 1998); UserError if header and length do not fit."""
    num_axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * num_axes
    try:
        shape = struct.unpack(f">{num_axes}I", content[4:start])
        if content[:3] != _IDX_UINT8 or len(content) - start != math.prod(shape):
            raise ValueError("its header does not fit")
        # NumPy has no arrays of so many axes, or of so long ones, be they empty.
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except (struct.error, ValueError):
        raise UserError(f"{path}: is no IDX file of unsigned bytes") from None


@dataset("Clanuwat et al. 2018: 60,000 + 10,000 kuzushiji, 28x28", name="kmnist", fetchable=True)
@dataset("Xiao et al. 2017: 60,000 + 10,000 garments, 28x28", name="fashion_mnist", fetchable=True)
@dataset("LeCun et al. 1998: 60,000 + 10,000 digits, 28x28", name="mnist", fetchable=True)
def load_idx(config: DataConfig, root: Path) -> Images:
    """Load it from its verified files."""
    arrays = []
    for file in FILES[config.dataset]:
        content = read_verified(config.dataset, file, root)
        # Of KMNIST the archives themselves are published with their md5.
        arrays.append(read_idx(gzip.decompress(content) if file.path.endswith(".gz") else content, file.path))
    train_images, train_labels, test_images, test_labels = arrays
    train, test = (train_images[:, None], as_labels(train_labels)), (test_images[:, None], as_labels(test_labels))
    return Images(*train, *test, classes=_CLASSES[config.dataset])


@dataset("Krizhevsky 2009: the same in 100 classes", name="cifar100", fetchable=True)
@dataset("Krizhevsky 2009: 50,000 + 10,000 photographs, 3x32x32", name="cifar10", fetchable=True)
def load_cifar(config: DataConfig, root: Path) -> Images:
    """Load it from its verified files."""
    name = config.dataset
    contents = {Path(file.path).name: read_verified(name, file, root) for file in FILES[name]}
    tables = {key: read_table(content, f"{name}: {key}") for key, content in contents.items()}
    is_small = name == "cifar10"
    meta, test = tables.pop("batches.meta" if is_small else "meta"), tables.pop("test_batch" if is_small else "test")
    labels, names = ("labels", "label_names") if is_small else ("fine_labels", "fine_label_names")

    def join(parts: list[dict[str, Any]]) -> tuple[Bytes, Labels]:
        pixels = np.concatenate([np.asarray(part["data"], dtype=np.uint8) for part in parts])
        return pixels.reshape(-1, 3, 32, 32), as_labels(np.concatenate([part[labels] for part in parts]))

    try:
        return Images(*join(list(tables.values())), *join([test]), classes=tuple(meta[names]))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{name}: its tables are not CIFAR's ({error})") from None


@dataset("scikit-learn (Alpaydin & Kaynak 1998): 1,437 + 360 real digits, 8x8")
def digits(_: DataConfig, root: Path) -> Images:
    """Load scikit-learn's digits."""
    (file,) = files_of("digits")
    lines = read_verified("digits", file, root).decode("ascii").splitlines()
    table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    pixels, labels = table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), as_labels(table[:, -1])
    train, test = slice(DIGITS_TRAIN), slice(DIGITS_TRAIN, None)
    return Images(pixels[train], labels[train], pixels[test], labels[test], classes=_DIGIT_NAMES, max_value=16)


@dataset("your own: PATH/train/CLASS/* and PATH/test/CLASS/*", needs_path=True)
def image_folder(config: DataConfig, _: Path) -> Images:
    """Load a folder of pictures."""
    return load_folder(folder_of(config))


@dataset("Gaussian classes, drawn from a fixed seed: for timing and tests")
def synthetic(_: DataConfig, __: Path) -> Images:
    """Draw the synthetic data set."""
    return draw_synthetic()


def _require_consistent(images: Images) -> None:
    """Raise UserError unless every image has a label, every label a class, and both splits one size of image."""
    name = images.name
    for split, pixels, labels in (
        ("train", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        if pixels.dtype != np.uint8 or labels.dtype != np.int64:
            raise UserError(f"{name}: images must be uint8 and labels int64, not {pixels.dtype} and {labels.dtype}")
        if pixels.ndim != 4 or labels.ndim != 1 or len(pixels) != len(labels) or not labels.size:
            raise UserError(
                f"{name}: the {split} split's images {pixels.shape} and labels {labels.shape} do not belong together"
            )
        if labels.min() < 0 or labels.max() >= len(images.classes):
            raise UserError(f"{name}: the {split} split has labels beyond its {len(images.classes)} classes")
    if images.train_images.shape[1:] != images.test_images.shape[1:]:
        raise UserError(f"{name}: the images of its train and test splits differ in size")


def load_images(config: DataConfig, root: Path) -> Images:
    """Return the data set of a configuration, every byte of it verified; one that is not there is fetched.

    Raises:
        UserError: it cannot be had, a file of it is damaged, or its files contradict each other.
    """
    name = config.dataset
    if name == "auto" or not is_present(name, root):
        name = resolve(name, root)
    images = replace(LOADERS[name](config.model_copy(update={"dataset": name}), root), name=name)
    _require_consistent(images)
    if not images.fingerprint:
        known = files_fingerprint(name) if files_of(name) else content_fingerprint(images)
        images = replace(images, fingerprint=known)
    return images


@cache
def _loaded_fingerprint(name: str, path: str | None, root: Path) -> str:
    return load_images(DataConfig(dataset=name, path=path), root).fingerprint


def fingerprint(config: DataConfig, root: Path) -> str:
    """Return the hash that identifies a data set's exact content; its files are verified first.

    A data set without files is loaded for it, once in a process; so are data of one's own.

    Raises:
        UserError: a file is missing, truncated, altered or unverifiable; the message names it and says what to do.
    """
    if config.own is not None:
        # What people make themselves may be torch's; all else is fingerprinted without it.
        from vgtemplate.data.own import own_fingerprint

        return own_fingerprint(config)
    name = resolve("auto", root) if config.dataset == "auto" else config.dataset
    if name == "image_folder":
        return folder_fingerprint(folder_of(config))
    if name == "synthetic":
        return synthetic_fingerprint()
    if files_of(name):
        require_intact(name, root)
        return files_fingerprint(name)
    return _loaded_fingerprint(name, config.path, root)
