"""How much memory a population will take at least, so that what cannot fit is refused before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from vgtemplate.config.errors import UserError
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.limits import free_memory
from vgtemplate.text import write_count

_KERNEL = 9
"""Weights of a convolution per pair of channels."""


def count_parameters(model: ModelConfig, input_shape: Sequence[int], num_outputs: int) -> int:
    """Return the number of weights and biases of one built-in network, normalisations apart.

    Args:
        input_shape: (C, H, W).
    """
    is_flat, area = model.kind == "mlp", 1 if model.kind == "mlp" else _KERNEL
    widths = [math.prod(input_shape) if is_flat else input_shape[0], *model.widths()]
    last, last_area = (input_shape[0], _KERNEL) if model.output == "image" else (num_outputs, 1)
    products = sum(below * above for below, above in pairwise(widths)) * area + widths[-1] * last * last_area
    return products + (0 if model.bias == "none" else sum(widths[1:]) + last)


def count_units(model: ModelConfig, input_shape: Sequence[int]) -> int:
    """Return the number of pre-activations of one built-in network for one image, those of its input included."""
    size, total = list(input_shape[1:]), math.prod(input_shape)
    for width, stride in zip(model.widths(), model.strides(), strict=True):
        size = [math.ceil(pixels / stride) for pixels in size]
        total += width * (1 if model.kind == "mlp" else math.prod(size))
    return total


def needed_bytes(
    config: ArmConfig, input_shape: Sequence[int], num_outputs: int, num_seeds: int, batch_size: int
) -> int:
    """Return the bytes that a population takes at least while it trains; 0 where nobody knows: a network of one's own.

    For every parameter its weight, its gradient and what the optimiser keeps; for every image of a batch what each
    layer puts out, which the backward pass needs.
    """
    model = config.built_in
    if model is None or not (input_shape and num_outputs):
        return 0
    kept = {"sgd": 1 if config.optimiser.momentum else 0}.get(config.optimiser.name, 2)
    per_network = count_parameters(model, input_shape, num_outputs) * (2 + kept)
    per_network += count_units(model, input_shape) * batch_size
    return per_network * num_seeds * (8 if config.training.precision == "64-true" else 4)


def require_memory(
    config: ArmConfig, input_shape: Sequence[int], num_outputs: int, num_seeds: int, batch_size: int
) -> None:
    """Raise UserError, with the numbers, if there is not the memory here for a population on its processor."""
    needed = needed_bytes(config, input_shape, num_outputs, num_seeds, batch_size)
    available = free_memory()
    if needed <= available:
        return
    assert config.built_in is not None
    parameters = count_parameters(config.built_in, input_shape, num_outputs)
    raise UserError(
        f"training {write_count(num_seeds, 'network')} of {parameters:,} parameters takes at least "
        f"{needed / 1e9:,.0f} GB (weights, gradients, {config.optimiser.name}'s state, a batch of {batch_size}); "
        f"{available / 1e9:,.1f} GB are free: take fewer --seeds, or a smaller model.width, model.depth or "
        "data.batch_size"
    )
