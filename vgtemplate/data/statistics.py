"""Statistics of images: by what they are scaled, and how large they are once they are; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vgtemplate.data.images import Bytes, Images

_BLOCK = 1000
MOST_IMAGES = 2048
"""How many images are looked at for the typical ones."""
TYPICAL_IMAGES = 8
"""How many images stand for all, from the darkest to the brightest."""


def measure_channels(images: Bytes, max_value: int) -> tuple[list[float], list[float]]:
    """Return each channel's mean and standard deviation over (N, C, H, W), in units of `max_value`.

    Counted in integers, so that every machine finds the same.
    """
    values = np.arange(256, dtype=np.float64) / max_value
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), _BLOCK):
            counts += np.bincount(images[start : start + _BLOCK, channel].ravel(), minlength=256)
        mean = float(counts @ values / counts.sum())
        means.append(mean)
        stds.append(float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum())))
    return means, stds


def typical_mean_squares(scaled: npt.NDArray[Any], flat: bool) -> npt.NDArray[np.float64]:
    """Return the mean square over the channels of each pixel of a few images: what a network reads of them.

    The images are those at the quantiles of the mean square, so that few of them have the distribution of all.

    Args:
        scaled: images as the network sees them, (N, C, H, W); the first 2,048 are looked at.
        flat: average over the pixels too.

    Returns:
        (8, H, W), or (8, 1, 1) if flat; fewer than 8 where there are fewer images.
    """
    squares = np.square(scaled[:MOST_IMAGES], dtype=np.float64).mean(axis=1)
    order = np.argsort(squares.mean(axis=(1, 2)), kind="stable")
    num = min(TYPICAL_IMAGES, len(order))
    chosen = squares[order[((np.arange(num) + 0.5) * len(order) / num).astype(np.int64)]]
    return np.asarray(chosen.mean(axis=(1, 2), keepdims=True) if flat else chosen)


def scale_pixels(
    pixels: Bytes,
    scaling: str,
    mean: Sequence[float],
    std: Sequence[float],
    max_value: int = 255,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Return images (N, C, H, W) as a network sees them: `mean` and `std` per channel, of pixels in [0, 1]."""
    scaled = pixels.astype(dtype)
    scaled /= max_value
    if scaling == "standardise":
        # A channel that never changes has deviation 0; it is centred only.
        deviations = [value or 1.0 for value in std]
        scaled -= np.reshape(np.array(mean, dtype), (-1, 1, 1))
        scaled /= np.reshape(np.array(deviations, dtype), (-1, 1, 1))
    return scaled


def scale_first(images: Images, num_train: int, scaling: str) -> npt.NDArray[np.float64]:
    """Return the first training images, (N, C, H, W), as a network sees them that is trained on `num_train` of them."""
    mean, std = measure_channels(images.train_images[:num_train], images.max_value)
    first = images.train_images[: min(num_train, MOST_IMAGES)]
    return scale_pixels(first, scaling, mean, std, images.max_value, np.float64)
