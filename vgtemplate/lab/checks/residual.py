"""Check of the gradient through residual layers against the shortcut's term plus the branches'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.lab.checks.networks import build, layers_of, losses_of
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.mlp import MLP


def _branch(layer: HiddenLayer, x: Tensor) -> Tensor:
    """Return the layer's output without its shortcut."""
    residual, layer.residual = layer.residual, False
    try:
        return cast(Tensor, layer(x))
    finally:
        layer.residual = residual


def _differentiate(function: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor | float = 1.0) -> Tensor:
    """Return the vector-Jacobian product of `function` at `x`, the vector being `upstream`."""
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad((function(leaf) * upstream).sum(), leaf)[0]


def _residual_terms(model: MLP, x: Tensor, labels: Tensor, start: int) -> tuple[float, float]:
    """Return the identity's relative error at x_start, and the branches' term as a share of the shortcut's.

    The left side runs the model's own layers. The right side takes dL/dx_L from the output layer alone, and the second
    term from the sum of the branches, each computed without its shortcut.
    """
    layers = layers_of(model)

    def stack(h: Tensor, upto: Sequence[HiddenLayer]) -> Tensor:
        for layer in upto:
            h = layer(h)
        return h

    def branches(h: Tensor) -> Tensor:
        total = torch.zeros_like(h)
        for layer in layers[start:]:
            branch = _branch(layer, h)
            total, h = total + branch, h + branch
        return total

    def loss(h: Tensor) -> Tensor:
        return losses_of(model.output(h), labels)

    x_start = stack(x, layers[:start]).detach()
    whole = _differentiate(lambda h: loss(stack(h, layers[start:])), x_start)
    shortcut = _differentiate(loss, stack(x_start, layers[start:]))
    branched = _differentiate(branches, x_start, shortcut)
    error = (whole - shortcut - branched).norm(dim=-1) / whole.norm(dim=-1)
    return float(error.max()), float(branched.norm() / shortcut.norm())


@check(
    "He et al. 2016, Identity Mappings, eq. 5; residual stacks of 20 layers",
    quantities="relu_error tanh_error sigmoid_error smallest_branch_share",
)
def residual_gradient_identity() -> dict[str, float]:
    """Measure dL/dx_l against dL/dx_L (1 + d/dx_l of the summed branches): three networks of 20 layers, five l."""
    rng = generator(4, Stream.CHECKS)
    x = torch.from_numpy(rng.standard_normal((2, 32, 12)))
    labels = torch.from_numpy(rng.integers(0, 4, (2, 32)))
    quantities, shares = {}, []
    for activation, norm in (("relu", "batch"), ("tanh", "none"), ("sigmoid", "batch")):
        settings = {"depth": 20, "width": 16, "activation": activation, "norm": norm, "residual": True}
        model = build(settings, 12, 4, check=4, num_replicas=2)
        terms = [_residual_terms(model, x, labels, start) for start in (1, 2, 5, 10, 19)]
        quantities[f"{activation}_error"] = float(np.max([error for error, _ in terms]))
        shares += [share for _, share in terms]
    return {**quantities, "smallest_branch_share": float(np.min(shares))}
