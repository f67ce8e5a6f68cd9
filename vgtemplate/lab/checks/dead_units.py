"""Check of units whose input is always negative: no gradient with ReLU, some with Leaky ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.lab.checks.networks import build, layers_of, linear_of, losses_of, sgd_step
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.blocks import HiddenLayer


def _silence(layers: Sequence[HiddenLayer], x: Tensor, margin: float) -> None:
    """Lower the bias of unit 0 of each layer until its input is at most -margin for every row of `x`."""
    with torch.no_grad():
        for layer in layers:
            bias = cast(Tensor, layer.linear.bias)
            bias[:, 0] -= layer.linear(x)[:, :, 0].amax(dim=1) + margin
            x = layer(x)


def _largest_input(layers: Sequence[HiddenLayer], x: Tensor) -> float:
    """Return the largest pre-activation of unit 0 over the layers and the rows of `x`."""
    largest = []
    with torch.no_grad():
        for layer in layers:
            largest.append(float(layer.linear(x)[:, :, 0].max()))
            x = layer(x)
    return max(largest)


def _train_with_silenced_units(activation: str, margin: float = 1.0) -> dict[str, float]:
    """Train three epochs with unit 0 of the first two of three hidden layers silenced; return what reached it."""
    rng = generator(9, Stream.CHECKS)
    x = torch.from_numpy(rng.standard_normal((2, 1280, 20)))
    labels = torch.from_numpy(rng.integers(0, 4, (2, 1280)))
    model = build({"depth": 3, "width": 16, "activation": activation}, 20, 4, check=9, num_replicas=2)
    silenced = layers_of(model)[:2]
    _silence(silenced, x, margin)
    incoming = [cast(Tensor, p) for layer in silenced for p in (layer.linear.weight, layer.linear.bias)]
    outgoing = [linear_of(layer).weight for layer in layers_of(model)[1:3]]

    def unit(tensors: Sequence[Tensor]) -> Tensor:
        """Return unit 0's weights and biases among `tensors`, joined for each replica: (R, N)."""
        return torch.cat([tensor[..., 0].reshape(2, -1) for tensor in tensors], dim=1)

    start = unit(incoming).detach().clone()
    largest, smallest, smallest_of_others, largest_input = 0.0, np.inf, np.inf, _largest_input(silenced, x)
    for batch in range(30):
        rows = slice(128 * (batch % 10), 128 * (batch % 10 + 1))
        model.zero_grad()
        losses_of(model(x[:, rows]), labels[:, rows]).sum().backward()
        grads = [cast(Tensor, p.grad) for p in incoming]
        leaving = torch.cat([cast(Tensor, w.grad)[:, 0] for w in outgoing], dim=1)
        largest = max(largest, float(unit(grads).abs().max()), float(leaving.abs().max()))
        per_layer = [unit(grads[2 * index : 2 * index + 2]).norm(dim=1).min() for index in range(2)]
        smallest = min(smallest, *(float(norm) for norm in per_layer))
        others = [grad[..., 1:].flatten(1).norm(dim=1).min() for grad in grads[::2]]
        smallest_of_others = min(smallest_of_others, *(float(norm) for norm in others))
        sgd_step(model, lr=0.1)
        largest_input = max(largest_input, _largest_input(silenced, x))
    return {
        "largest_gradient": largest,
        "smallest_gradient": smallest,
        "smallest_gradient_of_others": smallest_of_others,
        "changed_weights": float((unit(incoming) != start).sum()),
        "unchanged_weights": float((unit(incoming) == start).sum()),
        "largest_input": largest_input,
    }


@check(
    "three epochs of SGD with silenced units",
    quantities=(
        "relu_largest_gradient relu_changed_weights relu_largest_input relu_smallest_gradient_of_others "
        "leaky_smallest_gradient leaky_unchanged_weights"
    ),
)
def dead_unit_no_gradient() -> dict[str, float]:
    """Measure the gradient and the weights of units whose input is always negative, ReLU against Leaky ReLU."""
    relu, leaky = _train_with_silenced_units("relu"), _train_with_silenced_units("leaky_relu")
    return {
        "relu_largest_gradient": relu["largest_gradient"],
        "relu_changed_weights": relu["changed_weights"],
        "relu_largest_input": relu["largest_input"],
        "relu_smallest_gradient_of_others": relu["smallest_gradient_of_others"],
        "leaky_smallest_gradient": leaky["smallest_gradient"],
        "leaky_unchanged_weights": leaky["unchanged_weights"],
    }
