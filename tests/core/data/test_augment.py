"""Random crops and flips against torchvision's own, and what they may depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from vgtemplate.data.augment import PADDING, CropFlip, crop_and_flip


@given(
    seed=st.integers(0, 1000), num=st.integers(1, 5), channels=st.integers(1, 3), height=st.integers(1, 9),
    width=st.integers(1, 9),
)  # fmt: skip
def test_equals_torchvision_image_by_image(seed: int, num: int, channels: int, height: int, width: int) -> None:
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(num, channels, height, width, generator=random)
    top, left = (torch.randint(0, 2 * PADDING + 1, (num,), generator=random) for _ in range(2))
    flip = torch.rand(num, generator=random) < 0.5
    ours = crop_and_flip(images, top, left, flip)
    for index, image in enumerate(images):
        other = tv.crop(tv.pad(image, [PADDING]), int(top[index]), int(left[index]), height, width)
        torch.testing.assert_close(ours[index], tv.hflip(other) if flip[index] else other, rtol=0, atol=0)


def batch(num_replicas: int, size: int) -> torch.Tensor:
    return torch.arange(num_replicas * size * 64, dtype=torch.float32).view(num_replicas, size, 1, 8, 8) + 1


def test_every_window_and_both_sides_are_drawn_equally_often() -> None:
    drawn = CropFlip([3], 20_000)._draw(0)[:, 0]
    for windows in drawn[:2]:
        counts = torch.bincount(windows, minlength=2 * PADDING + 1)
        assert len(counts) == 2 * PADDING + 1
        # Standard deviation of a count: sqrt(20,000 * 1/9 * 8/9) = 44.
        assert (counts - 20_000 / 9).abs().max() < 4 * 44
    assert abs(drawn[2].float().mean() - 0.5) < 4 * 0.5 / 20_000**0.5


def test_a_replica_is_augmented_as_if_alone() -> None:
    images = batch(3, 5)
    together = CropFlip([4, 5, 6], 20)(images, epoch=2, places=slice(10, 15))
    for index, seed in enumerate([4, 5, 6]):
        alone = CropFlip([seed], 20)(images[index : index + 1], epoch=2, places=slice(10, 15))
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=0)


@pytest.mark.parametrize("epoch", [1, 5])
def test_an_epoch_can_be_asked_for_in_any_order(epoch: int) -> None:
    augment, images = CropFlip([4], 20), batch(1, 20)
    first = augment(images, 0, slice(0, 20))
    other = augment(images, epoch, slice(0, 20))
    assert not torch.equal(first, other)
    torch.testing.assert_close(augment(images, 0, slice(0, 20)), first, rtol=0, atol=0)
    torch.testing.assert_close(CropFlip([4], 20)(images, epoch, slice(0, 20)), other, rtol=0, atol=0)
