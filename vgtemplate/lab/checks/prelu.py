"""Check of PReLU's slopes: their gradient against finite differences, and how SGD moves them."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.lab.checks.networks import build, layers_of, losses_of, sgd_step
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.activations import PReLU
from vgtemplate.records import Array


@check(
    "He et al. 2015, eq. 2; central differences of the loss",
    quantities="slopes_a_layer smallest_gradient gradient_error update_error smallest_move",
)
def prelu_slope_learned() -> dict[str, float]:
    """Measure the gradient of each PReLU slope against finite differences, and how SGD moves it."""
    rng = generator(8, Stream.CHECKS)
    lr, step = 0.1, 1e-6
    model = build({"depth": 3, "width": 8, "activation": "prelu"}, 6, 4, check=8, num_replicas=4)
    slopes = [cast(PReLU, layer.activation).slope for layer in layers_of(model)]
    learned = {id(parameter) for parameter in model.parameters()}
    x = torch.from_numpy(rng.standard_normal((4, 64, 6)))
    labels = torch.from_numpy(rng.integers(0, 4, (4, 64)))

    def differences(slope: Tensor) -> Array:
        """Return (L(slope + step) - L(slope - step)) / (2 step), one value per replica."""
        with torch.no_grad():
            start = slope.detach().clone()
            slope.data = start + step
            above = losses_of(model(x), labels)
            slope.data = start - step
            below = losses_of(model(x), labels)
            slope.data = start
        return ((above - below) / (2 * step)).numpy()

    expected = np.stack([differences(slope) for slope in slopes])
    start = np.stack([slope.detach().numpy().copy() for slope in slopes])
    first_gradient, after_one = np.zeros_like(start), start
    for number in range(10):
        model.zero_grad()
        losses_of(model(x), labels).sum().backward()
        if number == 0:
            first_gradient = np.stack([(torch.zeros_like(s) if s.grad is None else s.grad).numpy() for s in slopes])
        sgd_step(model, lr)
        if number == 0:
            after_one = np.stack([slope.detach().numpy().copy() for slope in slopes])
    end = np.stack([slope.detach().numpy() for slope in slopes])
    return {
        "slopes_a_layer": sum(id(slope) in learned for slope in slopes) / len(slopes),
        "smallest_gradient": float(np.abs(first_gradient).min()),
        "gradient_error": float((np.abs(first_gradient - expected) / np.abs(expected)).max()),
        "update_error": float(np.abs(after_one - start + lr * expected).max()),
        "smallest_move": float(np.abs(end - start).min()),
    }
