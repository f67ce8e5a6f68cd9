"""Data of one's own: what `data.factory` returns: arrays or torch Datasets by split, or a LightningDataModule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from vgtemplate.config.errors import UserError, unknown_name
from vgtemplate.config.own import Factory, build
from vgtemplate.config.schema import DataConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.config.source import source_of
from vgtemplate.data.checksums import content_hash
from vgtemplate.data.randomness import borrowed_generators, seed_generators
from vgtemplate.data.split import each_leaf

SPLITS = ("train", "validation", "test")
MOST_CLASSES = 1000
"""Above so many the classes are numbers without names, e.g. the tokens of a language."""
_ALLOWED = (
    "(x_train, y_train, x_test, y_test), (train, test) of torch Datasets, a mapping of train, test and, if there is "
    "one, validation to arrays or Datasets, or a LightningDataModule"
)


@dataclass(frozen=True)
class Parts:
    """The splits of a data set: of each its arrays, in tuples and mappings as one likes, or a torch Dataset."""

    splits: Mapping[str, Any]
    classes: tuple[str, ...]


def is_dataset(found: object) -> bool:
    """Say whether this is a torch Dataset, or can be used as one: it has a length and gives items."""
    return hasattr(found, "__getitem__") and hasattr(found, "__len__") and not isinstance(found, _ARRAYS)


_ARRAYS = (np.ndarray, Tensor, list, tuple, Mapping, str)


def is_datamodule(found: object) -> bool:
    """Say whether this is a LightningDataModule, of either package."""
    return hasattr(found, "train_dataloader") and hasattr(found, "setup")


def call_factory(config: DataConfig) -> Any:
    """Return what a data.factory returns: a LightningDataModule, or anything else as Parts; the last is kept.

    What it draws from the global generators is the same each time.

    Raises:
        UserError: it fails, or returns something else.
    """
    assert config.own is not None
    return _call(config.own.factory, json.dumps(config.own.settings))


@lru_cache(maxsize=1)
def _call(path: str, settings: str) -> Any:
    with borrowed_generators():
        seed_generators(derive(0, Stream.DATA))
        found = build("data", Factory(factory=path, settings=json.loads(settings)))
    return found if is_datamodule(found) else _as_parts(found, f"data.factory {path}")


def _as_parts(found: Any, what: str) -> Parts:
    if isinstance(found, tuple | list):
        if len(found) == 4:
            found = {"train": (found[0], found[1]), "test": (found[2], found[3])}
        elif len(found) == 2 and all(isinstance(part, tuple | Mapping | Dataset) or is_dataset(part) for part in found):
            found = {"train": found[0], "test": found[1]}
    if not isinstance(found, Mapping):
        raise UserError(f"{what}: returns a {type(found).__name__}; allowed: {_ALLOWED}")
    known = (*SPLITS, "classes")
    for name in found:
        if name not in known:
            raise UserError(f"{what}: {unknown_name('split', name, known)}")
    for name in ("train", "test"):
        if name not in found:
            raise UserError(f"{what}: gives no {name!r}; allowed: {_ALLOWED}")
    splits = {name: _as_split(found[name], f"{what}: {name}") for name in SPLITS if name in found}
    if len({is_dataset(split) for split in splits.values()}) > 1:
        raise UserError(f"{what}: its splits must all be arrays or all be Datasets")
    return Parts(splits, _class_names(found, splits, what))


def _as_split(content: Any, what: str) -> Any:
    if isinstance(content, IterableDataset):
        raise UserError(f"{what}: is an IterableDataset, whose items cannot be asked for by number")
    if is_dataset(content):
        if not len(content):
            raise UserError(f"{what}: is empty")
        return content
    content = each_leaf(lambda leaf: leaf if isinstance(leaf, Tensor) else np.asarray(leaf), content)
    lengths = set()
    for leaf in leaves(content):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc":
            raise UserError(f"{what}: holds {leaf.dtype} values; allowed: numbers")
        lengths.add(len(leaf) if leaf.ndim else 0)
    if len(lengths) != 1 or 0 in lengths:
        raise UserError(f"{what}: its arrays must have one length above 0, not {sorted(lengths)}")
    return content


def leaves(content: Any) -> Iterator[Any]:
    """Yield the arrays of a split in order."""
    if isinstance(content, Mapping | tuple):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from leaves(part)
    else:
        yield content


def is_pair(content: Any) -> bool:
    """Say whether a split is (x, y): inputs and targets."""
    return isinstance(content, tuple) and len(content) == 2 and not isinstance(content[1], tuple | Mapping)


def as_array(leaf: Any) -> npt.NDArray[Any]:
    """Return an array or tensor as an array."""
    return leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf


def is_integer(leaf: Any) -> bool:
    """Say whether an array's or a tensor's values are whole numbers."""
    return not (leaf.is_floating_point() or leaf.is_complex()) if isinstance(leaf, Tensor) else leaf.dtype.kind in "iu"


def _class_names(found: Mapping[str, Any], splits: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """Return the names of the classes: as given, as a Dataset has them, else their numbers; () where there are none."""
    given = found.get("classes", getattr(splits["train"], "classes", None))
    names = tuple(str(name) for name in given) if given is not None else ()
    if is_dataset(splits["train"]):
        return names
    targets = [split[1] for split in splits.values() if is_pair(split)]
    if not targets or not all(is_integer(each) for each in targets):
        return names
    count = 1 + max(int(each.max()) for each in targets)
    if given is not None and count > len(names):
        raise UserError(f"{what}: its labels go up to {count - 1}, so that {len(names)} classes are too few")
    return names or tuple(str(number) for number in range(count if count <= MOST_CLASSES else 0))


@cache
def _fingerprint(path: str, settings: str) -> str:
    found = _call(path, settings)
    if is_datamodule(found) or is_dataset(found.splits["train"]):
        return content_hash(path, settings, source_of(path))
    parts: list[str | memoryview] = list(found.classes)
    for name, split in found.splits.items():
        parts.append(name)
        for leaf in leaves(split):
            array = np.ascontiguousarray(as_array(leaf))
            parts += [repr((array.shape, array.dtype.str)), array.reshape(-1).view(np.uint8).data]
    return content_hash(*parts)


def own_fingerprint(config: DataConfig) -> str:
    """Return what identifies data of one's own: of arrays their content, else their source and settings."""
    assert config.own is not None
    return _fingerprint(config.own.factory, json.dumps(config.own.settings))
