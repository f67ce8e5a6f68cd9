"""Draws a network's weights anew, as is usual for the activation behind each layer."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

BOUNDED = {"tanh": 1.0, "sigmoid": 4.0, "hardtanh": 1.0, "softsign": 1.0, "hardsigmoid": 4.0}
"""Activations that end at a value, and their gains over Xavier's; the sigmoid's is Glorot and Bengio's (2010)."""
_RECTIFIED = ("relu", "leaky_relu", "prelu", "rrelu", "elu", "gelu", "silu", "mish", "relu6", "celu", "hardswish")
_KEPT = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


@torch.no_grad()
def initialise(network: nn.Module, activations: Mapping[str, str]) -> int:
    """Draw the matrices of all layers, set their biases to zero; return how many matrices were drawn.

    Args:
        activations: by layer, the activation behind it.
    """
    drawn: set[int] = set()
    for name, module in network.named_modules():
        if isinstance(module, _KEPT):
            continue
        for own, parameter in module.named_parameters(recurse=False):
            if is_lazy(parameter) or not parameter.requires_grad or id(parameter) in drawn:
                continue
            if parameter.dim() > 1 and "weight" in own:
                _draw(parameter, module, activations.get(name, ""))
                drawn.add(id(parameter))
            elif own.startswith("bias"):
                parameter.zero_()
    return len(drawn)


def _draw(weight: Tensor, module: nn.Module, activation: str) -> None:
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)) and weight.shape[0] % weight.shape[1] == 0:
        orthogonal_blocks(weight)
        return
    ins, outs = _fans(weight, module)
    xavier = BOUNDED.get(activation, 1.0) * math.sqrt(2 / (ins + outs))
    weight.normal_(0, math.sqrt(2 / ins) if activation in _RECTIFIED else xavier)


def _fans(weight: Tensor, module: nn.Module) -> tuple[int, int]:
    places = weight[0, 0].numel()
    ins, outs = weight.shape[1] * places, weight.shape[0] * places
    return (outs, ins) if isinstance(module, nn.modules.conv._ConvTransposeNd) else (ins, outs)


@torch.no_grad()
def redraw(network: nn.Module, names: Collection[str]) -> int:
    """Draw parameters by name, of size 1 / sqrt(the longest axis); return how many."""
    found = [parameter for name, parameter in network.named_parameters() if name in names]
    for parameter in found:
        parameter.normal_(0, 1 / math.sqrt(max(parameter.shape, default=1)))
    return len(found)


@torch.no_grad()
def orthogonal(network: nn.Module, names: Collection[str]) -> int:
    """Draw the recurrent matrices orthogonal: of torch's recurrent layers, and of square layers by name."""
    number = 0
    for name, module in network.named_modules():
        recurrent = isinstance(module, (nn.RNNBase, nn.RNNCellBase))
        for own, parameter in module.named_parameters(recurse=False):
            is_named = name in names and parameter.dim() == 2 and parameter.shape[0] == parameter.shape[1]
            if "weight_hh" in own if recurrent else is_named:
                orthogonal_blocks(parameter)
                number += 1
    return number


def orthogonal_blocks(weight: Tensor) -> None:
    """Draw each square block of a matrix orthogonal: a gated layer has one per gate."""
    for block in weight.split(min(weight.shape)):
        nn.init.orthogonal_(block)
