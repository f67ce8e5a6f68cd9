"""The CIFAR networks of He et al. 2016 ("Deep residual learning", section 4.2) with the replica axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.activations import build_activation
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.norm import build_norm

if TYPE_CHECKING:
    from vgtemplate.config.network import ModelConfig


def shortcut(x: Tensor, channels: int) -> Tensor:
    """Return the parameter-free identity of a block: option A of He et al.

    Where the channels grow, every second pixel is taken and the new channels are zero: (R, B, C, H, W) to
    (R, B, channels, H/2, W/2), the size rounded up.
    """
    added = channels - x.shape[2]
    if not added:
        return x
    return F.pad(x[..., ::2, ::2], (0, 0, 0, 0, added // 2, added - added // 2))


class ConvLayer(nn.Module):
    """y = activation(norm(convolution(x)) + what the block's shortcut brings, if anything).

    No HiddenLayer, which adds its shortcut after the activation, and calls its normalisation by another name: the names
    are in every trained network's file and digest.

    Shape: (R, B, C, H, W) to (R, B, O, H', W'); `carried` has the shape of the output.
    """

    def __init__(self, config: ModelConfig, linear: Conv2d, index: int, seeds: Sequence[int]) -> None:
        super().__init__()
        self.linear = linear
        width = linear.weight.shape[1]
        self.norm = build_norm(config.norm, len(seeds), width)
        self.activation = build_activation(config.activation, seeds, 2 * index, width)

    def forward(self, x: Tensor, carried: Tensor | None = None) -> Tensor:
        h: Tensor = self.linear(x)
        if self.norm is not None:
            h = self.norm(h)
        if carried is not None:
            h = h + carried
        outputs: Tensor = self.activation(h)
        return outputs


class ResNet(nn.Module):
    """One convolution, 3 stages of n blocks of two convolutions, global average pooling, a linear output layer.

    The depth counts what has weights: 6n + 2. `width` is the number of channels of the first stage, 16 in the paper.
    Without `residual` the same network has no shortcuts. A normalised convolution has no bias, which the
    normalisation would take out again.

    Shape: (R, B, C, H, W) images to (R, B, K) logits; `input_shape` is (C, H, W). Replica r's weights depend on
    seeds[r] alone.
    """

    def __init__(self, config: ModelConfig, input_shape: Sequence[int], num_classes: int, seeds: Sequence[int]) -> None:
        super().__init__()
        bias = "none" if config.norm != "none" else config.bias
        draws = build_draws(config.initialiser, bias, seeds)
        self.residual = config.residual
        channels = [input_shape[0], *config.widths()]
        self.hidden_layers = nn.ModuleList(
            ConvLayer(config, Conv2d(fan_in, width, draws, stride=stride), index, seeds)
            for index, ((fan_in, width), stride) in enumerate(zip(pairwise(channels), config.strides(), strict=True))
        )
        self.output = Linear(channels[-1], num_classes, replace(draws, bias=config.bias))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.hidden_layers
        x = first(x)
        for opening, closing in zip(others[::2], others[1::2], strict=True):
            h = opening(x)
            x = closing(h, shortcut(x, h.shape[2]) if self.residual else None)
        logits: Tensor = self.output(x.mean(dim=(-2, -1)))
        return logits
