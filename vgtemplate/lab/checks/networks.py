"""Checks of small float64 networks: the chain rule, the gradient through shortcuts, and units that are dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit
from torch import Tensor

from vgtemplate.config.network import ModelConfig
from vgtemplate.config.seeding import Stream, derive, generator
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.mlp import MLP


def build(settings: dict[str, object], num_inputs: int, num_classes: int, check: int, num_replicas: int) -> MLP:
    """Return a float64 population of multi-layer perceptrons; `check` is the claim's number in docs/register.md."""
    seeds = [derive(check, Stream.CHECKS, replica) for replica in range(num_replicas)]
    return MLP(ModelConfig.model_validate(settings), (num_inputs,), num_classes, seeds).double()


def layers_of(model: MLP) -> list[HiddenLayer]:
    """Return the hidden layers."""
    return [cast(HiddenLayer, layer) for layer in model.hidden_layers]


def linear_of(layer: HiddenLayer) -> Linear:
    """Return the linear map of a hidden layer."""
    return cast(Linear, layer.linear)


def losses_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each replica's mean cross-entropy: (R, B, K), (R, B) -> (R,)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(dim=1)


def sgd_step(model: MLP, lr: float) -> None:
    """Take one step of SGD, W - lr dL/dW; written out because torch.optim imports a compiler, which takes seconds."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(lr * parameter.grad)


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


@check("1,000 sigmoid chains of one neuron per layer, in NumPy", quantities="error_at_depth_4 error_at_depth_50")
def chain_rule_product() -> dict[str, float]:
    """Measure autograd against s'(z_1) w_2 s'(z_2) ... w_n s'(z_n) dC/da_n, 1,000 draws at depths 4 and 50."""
    return {f"error_at_depth_{depth}": _chain_error(depth, num_draws=1000) for depth in (4, 50)}


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
    of_relu = ("largest_gradient", "changed_weights", "largest_input", "smallest_gradient_of_others")
    return {
        **{f"relu_{name}": relu[name] for name in of_relu},
        **{f"leaky_{name}": leaky[name] for name in ("smallest_gradient", "unchanged_weights")},
    }
