"""The convolution with the replica axis: R independent nn.Conv2d in one grouped convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.nn.initialisers import Draws, Fans


def fold(x: Tensor) -> Tensor:
    """(R, B, C, H, W) -> (B, R*C, H, W); no copy where `x` came from `unfold`."""
    num_replicas, batch, channels, height, width = x.shape
    return x.transpose(0, 1).reshape(batch, num_replicas * channels, height, width)


def unfold(x: Tensor, num_replicas: int) -> Tensor:
    """(B, R*C, H, W) -> (R, B, C, H, W), a view."""
    return x.view(x.shape[0], num_replicas, -1, *x.shape[2:]).transpose(0, 1)


class Conv2d(nn.Module):
    """A square convolution with zero padding that keeps the image's size (divided by the stride).

    Shapes: weight (R, O, C, K, K), bias (R, O), K odd; input (R, B, C, H, W), output (R, B, O, H', W'). The weight is
    drawn first, then the bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, draws: Draws, kernel_size: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        area = kernel_size**2
        fans = Fans(in_channels * area, out_channels * area)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = draws.draw_weight(shape, fans)
        self.bias = draws.draw_bias(out_channels, fans)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        num_replicas, _, _, kernel_size, _ = self.weight.shape
        # With the channels last a processor normalises twice as fast, and convolves no slower; the tensor cores of a
        # GPU want half precision so.
        channels_last = x.is_cpu or torch.is_autocast_enabled(x.device.type)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images = fold(x).contiguous(memory_format=layout)
        weight, bias = self.weight.flatten(0, 1), None if self.bias is None else self.bias.flatten()
        z = F.conv2d(images, weight, bias, self.stride, padding=kernel_size // 2, groups=num_replicas)
        return unfold(z, num_replicas)

    def extra_repr(self) -> str:
        return "{} replicas, out_channels={}, in_channels={}, kernel_size={}".format(*self.weight.shape[:4])
