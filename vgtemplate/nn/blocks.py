"""The hidden layer that every stack is built of: linear map, normalisation, activation, dropout, shortcut."""

from __future__ import annotations

from torch import Tensor, nn

from vgtemplate.config.schema import ModelConfig
from vgtemplate.nn.activations import Activation, build_activation
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.noise import Dropout
from vgtemplate.nn.norm import BatchNorm, LayerNorm, build_norm


class HiddenLayer(nn.Module):
    """y = shortcut(x) + dropout(norm(activation(linear(x)))), or with the norm before the activation.

    Its `activation` sees the pre-activation z, the quantity whose gradient is probed. Shape: (R, B, ...) in, and out
    with the linear map's width.

    Args:
        linear: the layer's Linear or Conv2d.
        norm: its normalisation, or None.
        norm_before: whether the normalisation stands before the activation.
        activation: the non-linearity.
        dropout: its dropout, or None.
        residual: whether the input is added to the output (identity, subsampled where the convolution strides).
    """

    def __init__(
        self,
        linear: Linear | Conv2d,
        norm: BatchNorm | LayerNorm | None,
        norm_before: bool,
        activation: Activation,
        dropout: Dropout | None,
        residual: bool,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.norm_before = norm if norm_before else None
        self.activation = activation
        self.norm_after = None if norm_before else norm
        self.dropout = dropout
        self.residual = residual

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


def build_hidden_layer(
    config: ModelConfig, linear: Linear | Conv2d, in_width: int, width: int, index: int, seeds: list[int]
) -> HiddenLayer:
    """Return hidden layer number `index` (from 0) around its linear map, as the configuration asks."""
    return HiddenLayer(
        linear=linear,
        norm=build_norm(config.norm, len(seeds), width),
        norm_before=config.norm_position == "before",
        activation=build_activation(config.activation, seeds, 2 * index),
        dropout=Dropout(config.dropout, seeds, 2 * index + 1) if config.dropout else None,
        residual=config.residual and index > 0 and in_width == width,
    )
