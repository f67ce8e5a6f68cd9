"""Finds what can be probed in a LightningModule: the hidden layers of a population, or of any ordinary network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vgtemplate.config import catalogue

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TORCH_NAMES: dict[type[object], str] = {
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.RReLU: "rrelu",
    nn.PReLU: "prelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
}


@dataclass(frozen=True)
class ProbedLayer:
    """One hidden layer: whose weights, whose pre-activation, whose output.

    The pre-activation is the input of `activation` in a population. In an ordinary network it is the output of
    `weighted`, since the activation may be a mere function call there.
    """

    name: str
    weighted: nn.Module
    activation: nn.Module | None
    output: nn.Module | None
    is_population: bool

    def stack(self, tensor: Tensor) -> Tensor:
        """Return the tensor with a replica axis: an ordinary network's gets one of length 1."""
        return tensor if self.is_population else tensor[None]

    @property
    def weight(self) -> Tensor:
        """The layer's weight with a replica axis, detached; a ValueError where it has none."""
        weight = getattr(self.weighted, "weight", None)
        if weight is None:
            raise ValueError(f"{self.name} has no weight to probe")
        return self.stack(weight.detach())

    def gradient(self, name: str) -> Tensor | None:
        """Return the gradient of the layer's weight or bias with a replica axis; None where it has none."""
        parameter = getattr(self.weighted, name, None)
        return None if parameter is None or parameter.grad is None else self.stack(parameter.grad)

    @property
    def max_derivative(self) -> float | None:
        """Largest |phi'| of the layer's activation; None if the activation is not in the catalogue."""
        name = getattr(self.activation, "name", None) or _TORCH_NAMES.get(type(self.activation), "")
        row = catalogue.ACTIVATIONS.get(str(name))
        return row.max_derivative if row else None


def find_layers(module: pl.LightningModule) -> list[ProbedLayer]:
    """Return the hidden layers from input to output.

    A population of vgtemplate.nn lists them itself as `hidden_layers`. In any other network they are all linear and
    convolutional modules but the last, in the order in which they were defined. Where that network is a population of
    `replicate` (`has_stacked_parameters`), only its parameters can be probed, not what flows through it.
    """
    for child in module.modules():
        if getattr(child, "has_stacked_parameters", False):
            return [
                replace(layer, is_population=True, activation=None, output=None) for layer in _ordinary_layers(child)
            ]
        hidden = getattr(child, "hidden_layers", None)
        if isinstance(hidden, nn.ModuleList):
            return [_population_layer(number, len(hidden), layer) for number, layer in enumerate(hidden, start=1)]
    return _ordinary_layers(module)


def _population_layer(number: int, depth: int, layer: nn.Module) -> ProbedLayer:
    name = f"layer_{number:0{len(str(depth))}d}"
    return ProbedLayer(name, layer.get_submodule("linear"), layer.get_submodule("activation"), layer, True)


def _ordinary_layers(module: nn.Module) -> list[ProbedLayer]:
    found: list[tuple[str, nn.Module, nn.Module | None]] = []
    for name, child in module.named_modules():
        if isinstance(child, _WEIGHTED):
            found.append((name, child, None))
        elif type(child) in _TORCH_NAMES and found and found[-1][2] is None:
            found[-1] = (*found[-1][:2], child)
    return [ProbedLayer(name, weighted, activation, activation, False) for name, weighted, activation in found[:-1]]


def derivative(activation: nn.Module, z: Tensor) -> Tensor:
    """Return phi'(z) elementwise through autograd, as in evaluation (a random slope at its mean)."""
    training = activation.training
    activation.training = False
    try:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            # `forward` rather than the call: the module's hooks may be the ones that brought us here. A copy, because
            # the module may work in place.
            (slope,) = torch.autograd.grad(activation.forward(z.clone()).sum(), z)
    finally:
        activation.training = training
    return slope
