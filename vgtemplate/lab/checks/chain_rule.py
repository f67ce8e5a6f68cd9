"""Check of backpropagation through a chain of single neurons against the product of its factors."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.lab.checks.networks import build, layers_of, linear_of
from vgtemplate.lab.checks.registry import check


def _chain_error(depth: int, num_draws: int) -> float:
    """Return the largest relative error of autograd's dC/db_1 against the product, C = (output - target)^2 / 2."""
    rng = generator(3, Stream.CHECKS, depth)
    settings = {"depth": depth, "width": 1, "activation": "sigmoid", "bias": "zeros"}
    model = build(settings, 1, 1, check=3, num_replicas=num_draws)
    for parameter in model.parameters():
        parameter.data = torch.from_numpy(rng.standard_normal(parameter.shape))
    x, target = rng.standard_normal((2, num_draws))
    output = model(torch.from_numpy(x)[:, None, None])[:, 0, 0]
    ((output - torch.from_numpy(target)) ** 2 / 2).sum().backward()
    linears = [linear_of(layer) for layer in layers_of(model)]
    gradient = cast(Tensor, cast(Tensor, linears[0].bias).grad)[:, 0].numpy()

    product, activation = np.ones(num_draws), x
    for index, linear in enumerate(linears):
        weight, bias = (cast(Tensor, p).detach().numpy().reshape(num_draws) for p in (linear.weight, linear.bias))
        z = weight * activation + bias
        product = product * (weight if index else 1.0) * expit(z) * expit(-z)
        activation = expit(z)
    weight, bias = (cast(Tensor, p).detach().numpy().reshape(num_draws) for p in model.output.parameters())
    product = product * weight * (weight * activation + bias - target)
    return float((np.abs(gradient - product) / np.abs(product)).max())


@check(
    "1,000 sigmoid chains of one neuron per layer, in NumPy",
    quantities="error_at_depth_4 error_at_depth_50",
)
def chain_rule_product() -> dict[str, float]:
    """Measure autograd against s'(z_1) w_2 s'(z_2) ... w_n s'(z_n) dC/da_n, 1,000 draws at depths 4 and 50."""
    return {f"error_at_depth_{depth}": _chain_error(depth, num_draws=1000) for depth in (4, 50)}
