"""What several checks measure with: activations on a grid of points, in float64, and the largest error."""

from __future__ import annotations

import numpy as np
import torch

from vgtemplate.nn.activations import Activation, build_activation
from vgtemplate.records import Array


def evaluate(activation: Activation, z: Array) -> tuple[Array, Array]:
    """Return the activation's values and, by autograd, its derivatives at the points `z`: (N,) to two (N,)."""
    points = torch.from_numpy(z)[None].requires_grad_()
    values = activation.double()(points)
    (derivatives,) = torch.autograd.grad(values.sum(), points)
    return values[0].detach().numpy(), derivatives[0].numpy()


def named(name: str) -> Activation:
    """Return an activation of the catalogue for one replica."""
    return build_activation(name, [0], 0)


def grid() -> Array:
    """Return -40 to 40 in steps of 1/1000, symmetric and with an exact 0."""
    return np.arange(-40_000, 40_001) / 1000


def largest_error(measured: Array, expected: Array) -> float:
    """Return the largest absolute difference."""
    return float(np.abs(measured - expected).max())
