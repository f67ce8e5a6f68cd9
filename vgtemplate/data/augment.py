"""Random crops and flips of a population's batches, on their device; what is drawn depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator

PADDING = 4
"""Pixels of zeros on each side, of which a window of the image's own size is cut (He et al. 2016, section 4.2)."""


def crop_and_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Return the window of each padded image that begins at (top, left), mirrored where `flip` says so.

    Args:
        images: (N, C, H, W).
        top: (N,), int64, from 0 to 2 * PADDING; so is `left`.
        flip: (N,), bool.
    """
    num_images, num_channels, height, width = images.shape
    padded = F.pad(images, (PADDING,) * 4)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(num_images, -1)
    columns = left[:, None] + torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(num_images, device=images.device)[:, None, None, None]
    channel = torch.arange(num_channels, device=images.device)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


class CropFlip:
    """Crops and flips the batches of each replica in its own way.

    Args:
        seeds: one per replica; each draws from its own stream AUGMENTATION.
        num_images: N, of an epoch.
    """

    def __init__(self, seeds: Sequence[int], num_images: int, device: torch.device | str = "cpu") -> None:
        self._seeds = tuple(seeds)
        self._num_images = num_images
        self._device = device
        self._epoch = -1
        self._drawn = torch.empty(0)

    def _draw(self, epoch: int) -> Tensor:
        """Return the epoch's (top, left, flip) for each replica and place in its order, (3, R, N); the last is kept."""
        if epoch != self._epoch:
            drawn = []
            for seed in self._seeds:
                random = generator(seed, Stream.AUGMENTATION, epoch)
                windows = random.integers(0, 2 * PADDING, (2, self._num_images), endpoint=True)
                drawn.append(np.concatenate([windows, random.integers(0, 2, (1, self._num_images))]))
            self._drawn = torch.from_numpy(np.stack(drawn, axis=1)).to(self._device)
            self._epoch = epoch
        return self._drawn

    def __call__(self, images: Tensor, epoch: int, places: slice) -> Tensor:
        """Return a batch, (R, B, C, H, W), of the images at `places` of each replica's epoch, cropped and flipped."""
        top, left, flip = self._draw(epoch)[:, :, places].flatten(1)
        return crop_and_flip(images.flatten(0, 1), top, left, flip.bool()).view_as(images)
