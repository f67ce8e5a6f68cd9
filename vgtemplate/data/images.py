"""What a data set is once it is in memory; never where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vgtemplate.data.checksums import content_hash

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """A data set with its official split: images (N, C, H, W), labels (N,) with values 0..K-1, the K classes' names.

    Args:
        max_value: the pixel value that stands for 1.0.
        name: the catalogue's name; `load_images` fills it in.
        fingerprint: identifies exactly these images and labels; where a loader gives none, `load_images` does.
    """

    train_images: Bytes
    train_labels: Labels
    test_images: Bytes
    test_labels: Labels
    classes: tuple[str, ...]
    max_value: int = 255
    name: str = ""
    fingerprint: str = ""


def as_labels(labels: Any) -> Labels:
    """Return class numbers as int64, shape (N,)."""
    return np.asarray(labels, dtype=np.int64)


def content_fingerprint(images: Images) -> str:
    """Return the fingerprint of a data set by its arrays and the names of its classes."""
    parts: list[str | memoryview] = [str(images.max_value), *images.classes]
    for array in (images.train_images, images.train_labels, images.test_images, images.test_labels):
        parts += [repr(array.shape), np.ascontiguousarray(array).data.cast("B")]
    return content_hash(*parts)
