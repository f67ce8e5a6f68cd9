"""A vision transformer of timm, made small enough for digits of 8x8 pixels."""

import timm
from torch import nn


def make_vit(input_shape: tuple[int, ...], num_classes: int, width: int = 32, depth: int = 2) -> nn.Module:
    """Build it with random weights; patches are 2x2 pixels."""
    channels, size, _ = input_shape
    return timm.create_model(
        "vit_tiny_patch16_224",
        in_chans=channels,
        img_size=size,
        patch_size=2,
        num_classes=num_classes,
        embed_dim=width,
        depth=depth,
        num_heads=4,
    )
