"""The functions of torch that a network is made of, by their names: those with weights, and the activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vgtemplate.config.catalogue import ACTIVATIONS

PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot"}
"""Functions of which any argument may be the weight."""
_CONVOLUTIONS = {f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in (1, 2, 3)}
CHANNELS_SECOND = {*_CONVOLUTIONS, "batch_norm", "group_norm", "instance_norm"}
"""Functions whose units are channels, (B, C, ...); of all others the last axis has them."""
RECURRENCES = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
LAYERS = {
    *("linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "layer_norm", "rms_norm"),
    *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
    *(PRODUCTS | CHANNELS_SECOND | RECURRENCES),
}
_OTHERS = {
    **{"celu": 1.0, "hardsigmoid": 1 / 6, "hardswish": 1.5, "hardtanh": 1.0, "log_sigmoid": 1.0, "mish": 1.0884982},
    **{"relu6": 1.0, "softplus": 1.0, "softsign": 1.0, "tanhshrink": 1.0},
}
"""Elementwise activations that the catalogue does not have, with the largest |phi'|."""
_KNOWN = {"sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "prelu", "rrelu", *_OTHERS}


def activation_of(function: Callable[..., Any]) -> str | None:
    """Return the elementwise activation that a torch function is, its in-place form included; None if it is none."""
    name = getattr(function, "__name__", "").strip("_")
    return name if name in _KNOWN else None


def max_derivative(name: str) -> float:
    """Return the largest |phi'| of an activation, to which "saturated" is relative."""
    return ACTIVATIONS[name].max_derivative if name in ACTIVATIONS else _OTHERS[name]


@contextmanager
def own_graph(device: torch.device) -> Iterator[None]:
    """Within it a graph of our own may be built, wherever the network is: in a checkpoint, under autocast."""

    def unchanged(tensor: Tensor) -> Tensor:
        return tensor

    # A checkpoint counts what is saved for a backward pass, through hooks that these stand before.
    with (
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.autograd.graph.saved_tensors_hooks(unchanged, unchanged),
    ):
        yield


def derivative(function: Callable[..., Any], z: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return phi'(z) elementwise through autograd, of a copy of z; a random slope stands at its mean."""
    if activation_of(function) == "relu":
        return (z.detach() > 0).to(z.dtype).masked_fill(z.isnan(), torch.nan)
    if activation_of(function) == "rrelu":
        args, kwargs = args[:2], {**{name: kwargs[name] for name in ("lower", "upper") if name in kwargs}}
        kwargs["training"] = False
    # In single precision at least: the slope of a saturated unit is below the smallest half-precision number.
    precision = torch.float32 if z.dtype in (torch.float16, torch.bfloat16) else z.dtype
    others = [each.detach().to(precision) if isinstance(each, Tensor) else each for each in args]
    with own_graph(z.device):
        copy = z.detach().to(precision, copy=True).requires_grad_()
        # Once more a copy, because the function may work in place.
        (slope,) = torch.autograd.grad(function(copy.clone(), *others, **kwargs).sum(), copy)
    return slope
