"""The convolutional network with the replica axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.conv import Conv2d
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear

if TYPE_CHECKING:
    from vgtemplate.config.network import ModelConfig


class CNN(nn.Module):
    """`depth` 3x3 convolutions in stages, global average pooling and a linear output layer.

    With `output: image` one stage, and a convolution back to the image's channels instead of pooling. `width` is the
    number of channels.

    Shape: (R, B, C, H, W) images to (R, B, K) logits, or to (R, B, C, H, W); `input_shape` is (C, H, W). Replica r's
    weights depend on seeds[r] alone.
    """

    def __init__(self, config: ModelConfig, input_shape: Sequence[int], num_classes: int, seeds: Sequence[int]) -> None:
        super().__init__()
        draws = build_draws(config.initialiser, config.bias, seeds)
        channels = [input_shape[0], *config.widths()]
        self.puts_out_images = config.output == "image"
        self.hidden_layers = nn.ModuleList(
            HiddenLayer(config, Conv2d(fan_in, width, draws, stride=stride), fan_in, width, index, seeds)
            for index, ((fan_in, width), stride) in enumerate(zip(pairwise(channels), config.strides(), strict=True))
        )
        out_width = input_shape[0] if self.puts_out_images else num_classes
        self.output = (Conv2d if self.puts_out_images else Linear)(channels[-1], out_width, draws)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden_layers:
            x = layer(x)
        outputs: Tensor = self.output(x if self.puts_out_images else x.mean(dim=(-2, -1)))
        return outputs
