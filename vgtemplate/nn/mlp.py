"""The multi-layer perceptron with the replica axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.initialisers import build_draws
from vgtemplate.nn.linear import Linear

if TYPE_CHECKING:
    from vgtemplate.config.network import ModelConfig


class MLP(nn.Module):
    """`depth` hidden layers and a linear output layer; images are flattened.

    Shape: (R, B, ...) images to (R, B, K) logits. Replica r's weights depend on seeds[r] alone.
    """

    def __init__(self, config: ModelConfig, input_shape: Sequence[int], num_classes: int, seeds: Sequence[int]) -> None:
        super().__init__()
        draws = build_draws(config.initialiser, config.bias, seeds)
        widths = [math.prod(input_shape), *config.widths()]
        self.hidden_layers = nn.ModuleList(
            HiddenLayer(config, Linear(fan_in, width, draws), fan_in, width, index, seeds)
            for index, (fan_in, width) in enumerate(pairwise(widths))
        )
        self.output = Linear(widths[-1], num_classes, draws)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(2)
        for layer in self.hidden_layers:
            h = layer(h)
        logits: Tensor = self.output(h)
        return logits
