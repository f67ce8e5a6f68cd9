"""An image folder for tests: how its pictures are written and read."""

import struct
import zlib

import numpy as np
from PIL import Image

from vgtemplate.config.schema import DataConfig
from vgtemplate.data.sources import load_images

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (2, 2, 3, 6, 5, 3), np.uint8)
"""Split, class, picture, then H, W, channel."""
CLASSES = ("cat", "dog")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def load(pictures):
    return load_images(DataConfig(dataset="image_folder", path=str(pictures)), pictures.parent / "root")


def caches(pictures):
    return sorted((pictures.parent / "cache" / "vgtemplate" / "pictures").iterdir())


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
