"""Changes of a network's modules that need none of its code: hooks, and modules in the place of others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_CONVOLUTIONS = nn.modules.conv._ConvNd
_MOST_GROUPS = 32
_BOUNDED = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardsigmoid, nn.Hardtanh)


def normalise_layers(network: nn.Module, names: Collection[str]) -> int:
    """Standardise what layers put out, per sample; return how many."""
    number = 0
    for name, module in network.named_modules():
        if name in names and isinstance(module, (nn.Linear, _CONVOLUTIONS)):
            module.register_forward_hook(_standardised)
            number += 1
    return number


def _standardised(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    # A convolution's channels and places together, of a linear layer the units.
    return functional.layer_norm(output, output.shape[1 if isinstance(module, _CONVOLUTIONS) else -1 :])


def standardise_inputs(network: nn.Module, names: Collection[str]) -> int:
    """Standardise each feature of what reaches layers, by the mean and standard deviation of the first batch."""
    found = [module for name, module in network.named_modules() if name in names]
    for module in found:
        module.register_forward_pre_hook(_Standardiser())
    return len(found)


class _Standardiser:
    def __init__(self) -> None:
        self._known: tuple[Tensor, Tensor] | None = None

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> Any:
        x, *others = args
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
            return None
        if self._known is None:
            axis = 1 if isinstance(module, _CONVOLUTIONS) else x.dim() - 1
            rest = [each for each in range(x.dim()) if each != axis]
            spread = x.detach().std(rest, correction=0, keepdim=True)
            # A feature that never differs is taken to zero.
            self._known = x.detach().mean(rest, keepdim=True), torch.where(spread > 0, spread, 1)
        mean, spread = self._known
        return ((x - mean) / spread, *others)


def evaluate(network: nn.Module, names: Collection[str]) -> int:
    """Hold modules in evaluation mode, whatever mode they are put in."""
    found = [module for name, module in network.named_modules() if name in names]
    for module in found:
        module.register_forward_pre_hook(_to_eval)
    return len(found)


def _to_eval(module: nn.Module, args: Any) -> None:
    module.eval()


def group_norm(network: nn.Module, names: Collection[str]) -> int:
    """Put GroupNorm, with the same scale and shift, in the place of batch normalisations."""
    found = [(name, each) for name, each in network.named_modules() if name in names and _is_batch_norm(each)]
    for name, module in found:
        channels = int(module.num_features)
        groups = max(each for each in range(1, _MOST_GROUPS + 1) if channels % each == 0 and channels // each > 1)
        new = nn.GroupNorm(groups, channels, module.eps, affine=False)
        new.weight, new.bias = module.weight, module.bias
        _replace(network, name, new)
    return len(found)


def _is_batch_norm(module: Any) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_features > 1


def leaky(network: nn.Module) -> int:
    """Put Leaky ReLU in the place of each ReLU that is a module."""
    names = [name for name, module in network.named_modules() if type(module) is nn.ReLU]
    for name in names:
        _replace(network, name, nn.LeakyReLU(0.1))
    return len(names)


def rectify(network: nn.Module) -> int:
    """Put ReLU in the place of each hidden bounded activation that is a module; return how many."""
    found = [name for name, module in network.named_modules() if isinstance(module, _BOUNDED)]
    kept = {_end_of(network)}
    for name in found:
        if name not in kept:
            _replace(network, name, nn.ReLU())
    return len(set(found) - kept)


def _end_of(network: nn.Module) -> str:
    """Return the name of what a sequence of modules ends with, which may be the output's."""
    name, module = "", network
    while isinstance(module, nn.Sequential) and len(module):
        own, module = list(module.named_children())[-1]
        name = f"{name}.{own}".lstrip(".")
    return name


def _replace(network: nn.Module, name: str, new: nn.Module) -> None:
    around, _, own = name.rpartition(".")
    setattr(network.get_submodule(around), own, new)


def register(network: nn.Module) -> int:
    """Register the modules and parameters that are kept in Python lists and dicts; return how many were found."""
    number = 0
    for module in list(network.modules()):
        for name, value in list(vars(module).items()):
            if name.startswith("_") or (new := _registered(value)) is None:
                continue
            delattr(module, name)
            setattr(module, name, new)
            number += 1
    return number


def _registered(value: Any) -> nn.Module | nn.Parameter | None:
    if isinstance(value, Tensor) and value.is_leaf and value.requires_grad:
        return nn.Parameter(value.detach())
    values = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(values, (list, tuple)) or not values:
        return None
    is_named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if all(isinstance(each, nn.Module) for each in values):
        return nn.ModuleDict(value) if is_named else None if isinstance(value, dict) else nn.ModuleList(values)
    if all(isinstance(each, Tensor) and each.is_leaf and each.requires_grad for each in values):
        return nn.ParameterDict(value) if is_named else None if isinstance(value, dict) else nn.ParameterList(values)
    return None
