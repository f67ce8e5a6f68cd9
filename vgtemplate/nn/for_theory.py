"""What the theory asks of an activation or initialiser that it has no formula for, found from its torch function."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.activations import build_activation
from vgtemplate.nn.initialisers import FUNCTIONS, Fans, Shape

_DRAWS = 1_000_000
"""Weights over which a deviation is measured: normal ones to 0.07 %, one standard error."""


def torch_function(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return an activation as a function of any tensor; learned parameters as they start, random ones at their mean."""
    module = build_activation(name, [0], 0).double().eval().requires_grad_(False)

    def function(z: torch.Tensor) -> torch.Tensor:
        (replica,) = module(z[None])
        return torch.as_tensor(replica)

    return function


@cache
def measure_weight_std(name: str, shape: Shape, fan_in: int, fan_out: int) -> float:
    """Return the deviation of an initialiser's weights of a shape, measured over draws of them."""
    generator = torch.Generator().manual_seed(derive(0, Stream.CHECKS))
    num_draws = math.ceil(_DRAWS / math.prod(shape))
    draws = (FUNCTIONS[name](shape, Fans(fan_in, fan_out), generator) for _ in range(num_draws))
    return math.sqrt(sum(float(weights.double().square().mean()) for weights in draws) / num_draws)
