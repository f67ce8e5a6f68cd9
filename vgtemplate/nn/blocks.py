"""The hidden layer that every stack is built of: linear map, normalisation, activation, dropout, shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vgtemplate.nn.activations import build_activation
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.noise import Dropout
from vgtemplate.nn.norm import UnitNoise, build_norm

if TYPE_CHECKING:
    from vgtemplate.config.network import ModelConfig


class HiddenLayer(nn.Module):
    """y = shortcut(x) + dropout(norm(activation(linear(x)))), or with the norm before the activation.

    Its `activation` sees the pre-activation z, the quantity whose gradient is probed. Shape: (R, B, ...) in, and out
    with the linear map's width. `index` is the layer's number, from 0; the first layer has no shortcut, nor one that
    changes the width.
    """

    def __init__(
        self, config: ModelConfig, linear: Linear | Conv2d, in_width: int, width: int, index: int, seeds: Sequence[int]
    ) -> None:
        super().__init__()
        plain = build_norm(config.norm, len(seeds), width, config.norm_affine)
        norm = nn.Sequential(plain, UnitNoise(seeds, index)) if config.norm_noise and plain is not None else plain
        self.linear = linear
        self.norm_before = norm if config.norm_position == "before" else None
        self.activation = build_activation(config.activation, seeds, 2 * index, width)
        self.norm_after = norm if config.norm_position == "after" else None
        self.dropout = Dropout(config.dropout, seeds, 2 * index + 1) if config.dropout else None
        self.residual = config.residual and index > 0 and in_width == width

    def shortcut(self, x: Tensor) -> Tensor:
        """Return what is added to the branch: x itself, every stride-th pixel of it in a striding convolution."""
        stride = getattr(self.linear, "stride", 1)
        return x if stride == 1 else x[..., ::stride, ::stride]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.linear(x)
        if self.norm_before is not None:
            h = self.norm_before(h)
        h = self.activation(h)
        if self.norm_after is not None:
            h = self.norm_after(h)
        if self.dropout is not None:
            h = self.dropout(h)
        return h + self.shortcut(x) if self.residual else h
