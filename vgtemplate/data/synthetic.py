"""Draws a data set of Gaussian classes from a fixed seed, for timing and tests; needs no file."""

from __future__ import annotations

import numpy as np

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.data.checksums import content_hash
from vgtemplate.data.images import Bytes, Images, Labels, as_labels

NUM_CLASSES = 10
NUM_TRAIN = 20_000
NUM_TEST = 2_000
SIDE = 28
SEED = 20_180_905
MEAN = 128.0
CLASS_STD = 12.0
"""Deviation of the class centres, pixel by pixel, in grey levels."""
NOISE_STD = 48.0
"""Deviation of the images of a class about its centre."""


def synthetic_fingerprint() -> str:
    """Return the fingerprint of the constants that decide every pixel."""
    constants = (NUM_CLASSES, NUM_TRAIN, NUM_TEST, SIDE, SEED, MEAN, CLASS_STD, NOISE_STD)
    return content_hash("synthetic", repr(constants))


def _draw(centres: np.ndarray, num_images: int, counter: int) -> tuple[Bytes, Labels]:
    rng = generator(SEED, Stream.DATA, counter)
    labels = as_labels(rng.permutation(np.arange(num_images) % NUM_CLASSES))
    pixels = rng.standard_normal((num_images, SIDE * SIDE), dtype=np.float32)
    pixels *= NOISE_STD
    pixels += centres[labels]
    images = np.rint(pixels.clip(0, 255, out=pixels), out=pixels).astype(np.uint8)
    return images.reshape(num_images, 1, SIDE, SIDE), labels


def draw_synthetic() -> Images:
    """Return K = 10 classes x ~ N(centre_k, NOISE_STD^2), centre_k ~ N(MEAN, CLASS_STD^2), in the shape of MNIST."""
    rng = generator(SEED, Stream.DATA, 0)
    centres = rng.normal(MEAN, CLASS_STD, (NUM_CLASSES, SIDE * SIDE)).astype(np.float32)
    return Images(
        *_draw(centres, NUM_TRAIN, 1),
        *_draw(centres, NUM_TEST, 2),
        classes=tuple(str(label) for label in range(NUM_CLASSES)),
        fingerprint=synthetic_fingerprint(),
    )
