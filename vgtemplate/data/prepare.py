"""From a data set to the splits that are used: selected, scaled, as tensors, with what the record says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.config.strict import MOST
from vgtemplate.data.drawn import Drawn, Indices, draw
from vgtemplate.data.lengths import num_held_out
from vgtemplate.data.notes import note
from vgtemplate.data.own import as_array, call_factory, is_dataset, is_integer, is_pair, leaves, own_fingerprint
from vgtemplate.data.sources import load_images
from vgtemplate.data.split import Items, Split, Tensors, each_leaf
from vgtemplate.data.statistics import MOST_IMAGES, measure_channels, scale_pixels


@dataclass(frozen=True)
class _Raw:
    """A data set as it was found: arrays, or torch Datasets, by split."""

    name: str
    fingerprint: str
    splits: Mapping[str, Any]
    classes: tuple[str, ...]
    max_value: int = 255


def _find(config: DataConfig, root: Path) -> _Raw:
    if config.own is not None:
        parts = call_factory(config)
        return _Raw(config.own.factory, own_fingerprint(config), parts.splits, parts.classes)
    images = load_images(config, root)
    splits = {"train": (images.train_images, images.train_labels), "test": (images.test_images, images.test_labels)}
    return _Raw(images.name, images.fingerprint, splits, images.classes, images.max_value)


def split_length(split: Any) -> int:
    """Return how many items a split has."""
    return len(split) if is_dataset(split) else len(next(leaves(split)))


def _cut(split: Any, start: int, stop: int) -> Any:
    if is_dataset(split):
        return Subset(split, range(start, stop))
    return each_leaf(lambda leaf: leaf[start:stop], split)


def _divide(config: DataConfig, raw: _Raw) -> dict[str, Any]:
    """Return the training split's first `num_train`, what is held out from its end or given for it, and the test's.

    Where each seed draws its own training images, all that are not held out are returned in their place.
    """
    whole = raw.splits["train"]
    available, own = split_length(whole), raw.splits.get("validation")
    if own is not None and config.num_validation:
        note(f"data.num_validation: {config.num_validation} is not used; {raw.name} has a validation split of its own")
    held_out = num_held_out(config, available) if own is None else 0
    num_test = split_length(raw.splits["test"])
    most = config.num_train if config.draw == "first" else available
    return {
        "train": _cut(whole, 0, min(most, available - held_out)),
        "validation": _cut(whole, available - held_out, available) if own is None else own,
        "test": _cut(raw.splits["test"], 0, min(config.num_test or num_test, num_test)),
    }


def to_tensor(leaf: Any) -> Tensor:
    """Return an array as a tensor: floats as float32, whole numbers as int64, but pictures of bytes as they are."""
    tensor = leaf.detach() if isinstance(leaf, Tensor) else torch.tensor(leaf)
    if tensor.is_floating_point():
        return tensor.float()
    if tensor.is_complex() or tensor.dtype == torch.bool or (tensor.dtype == torch.uint8 and tensor.dim() == 4):
        return tensor
    return tensor.long()


def _are_pictures(split: Any, name: str) -> bool:
    """Say whether a split is (x, y) with x of 8-bit pictures; UserError where their channels come last."""
    if is_dataset(split) or not is_pair(split):
        return False
    x = split[0]
    if x.ndim != 4 or str(x.dtype).removeprefix("torch.") != "uint8":
        return False
    if x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        raise UserError(f"{name}: its pictures are {tuple(x.shape)}; allowed: (number, channels, height, width)")
    return True


def _draw(config: DataConfig, pool: Any, name: str, seeds: Sequence[int]) -> tuple[Any, Indices]:
    """Return what the seeds draw of a training split, with its first images, and where in it each one's are, (R, N).

    The first images stand for all, whichever seeds train (`statistics.typical_mean_squares`).

    Raises:
        UserError: it is a Dataset, whose items are asked for one by one.
    """
    if is_dataset(pool):
        raise UserError(f"data.draw: per_seed needs arrays in memory, which {name}, a Dataset, is not; allowed: first")
    chosen = draw(seeds, split_length(pool), config.num_train)
    used = np.union1d(chosen, np.arange(min(MOST_IMAGES, split_length(pool))))
    return each_leaf(lambda leaf: leaf[used], pool), np.searchsorted(used, chosen)


def prepare(config: DataConfig, root: Path, seeds: Sequence[int]) -> tuple[dict[str, Split], dict[str, Any]]:
    """Return the splits train, validation (which may be empty) and test, and what the record says of the data.

    Pictures of 8 bits in pairs (x, y) are scaled as the configuration says, by the training pictures, or by all that
    the seeds draw theirs from; all else is handed on as it is.

    Raises:
        UserError: the data cannot be had or used.
    """
    raw = _find(config, root)
    divided = _divide(config, raw)
    whole, chosen = divided["train"], None
    if config.draw == "per_seed":
        divided["train"], chosen = _draw(config, whole, raw.name, seeds)
    mean: list[float] = []
    std: list[float] = []
    splits: dict[str, Split] = {}
    if is_dataset(divided["train"]):
        splits = {name: Items(split, f"data.factory {raw.name}: {name}") for name, split in divided.items()}
    elif _are_pictures(whole, raw.name):
        mean, std = measure_channels(as_array(whole[0]), raw.max_value)
        for name, (x, y) in divided.items():
            scaled = scale_pixels(as_array(x), config.scaling, mean, std, raw.max_value)
            splits[name] = Tensors((torch.from_numpy(scaled), to_tensor(y)))
    else:
        splits = {name: Tensors(each_leaf(to_tensor, split)) for name, split in divided.items()}
    if chosen is not None and isinstance(pool := splits["train"], Tensors):
        splits["train"] = Drawn(pool, torch.from_numpy(chosen))
    info = {
        "name": raw.name,
        "fingerprint": raw.fingerprint,
        "num_train": len(splits["train"]),
        "num_train_asked": len(splits["train"]) if config.num_train == MOST else config.num_train,
        "num_validation": len(splits["validation"]),
        "num_test": len(splits["test"]),
        "classes": list(raw.classes),
        "input_shape": [],
        "mean": mean,
        "std": std,
    }
    return splits, info | describe_batch(splits["train"].ordered(0, 1), config, raw.splits["train"], raw.classes)


def describe_batch(batch: Any, config: DataConfig, whole: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what a batch tells: the inputs' shape and, of data of one's own, how many outputs the targets ask for."""
    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    shape = {"input_shape": list(inputs.shape[1:])} if isinstance(inputs, Tensor) else {}
    if config.own is None:
        return shape
    return shape | {"num_outputs": len(classes) or _num_outputs(batch, whole)}


def _num_outputs(batch: Any, whole: Any) -> int | None:
    """Return the number of outputs for targets without named classes: numbers, or classes as arrays have them."""
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], Tensor)):
        return None
    targets = batch[1]
    if targets.is_floating_point():
        return math.prod(targets.shape[1:])
    if is_dataset(whole) or not is_pair(whole) or not is_integer(whole[1]):
        return None
    return 1 + int(np.max(as_array(whole[1])))
