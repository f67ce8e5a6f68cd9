"""Activation functions by name, and the modules that apply them with the replica axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.config.catalogue import ACTIVATIONS, check_name
from vgtemplate.nn.noise import Noise

LEAKY_SLOPE = 0.01
"""Maas et al. 2013; also torch's default."""
PRELU_START = 0.25
"""He et al. 2015, section 2.1."""
RRELU_RANGE = (1 / 8, 1 / 3)
"""Xu et al. 2015, and torch's defaults."""


FUNCTIONS: dict[str, Any] = {}
"""By name: a function of a tensor (R, ...) to the same; with parameters or noise a class built of seeds, layer, width.

To add one, write it below: the decorator names its source, its largest derivative and its usual initialiser.
"""
activation = ACTIVATIONS.decorator(FUNCTIONS)


@activation("logistic function", max_derivative=0.25, initialiser="glorot_normal")
def sigmoid(z: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-z))."""
    return torch.sigmoid(z)


@activation("LeCun et al. 1998, Efficient BackProp", max_derivative=1.0, initialiser="glorot_normal")
def tanh(z: Tensor) -> Tensor:
    """Return tanh(z)."""
    return torch.tanh(z)


@activation("Nair & Hinton 2010", max_derivative=1.0, initialiser="he_normal")
def relu(z: Tensor) -> Tensor:
    """Return max(0, z)."""
    return torch.relu(z)


@activation("Maas et al. 2013; slope 0.01", max_derivative=1.0, initialiser="he_normal")
def leaky_relu(z: Tensor) -> Tensor:
    """Return max(0, z) + 0.01 min(0, z)."""
    return F.leaky_relu(z, LEAKY_SLOPE)


@activation("Clevert et al. 2016; alpha 1", max_derivative=1.0, initialiser="he_normal")
def elu(z: Tensor) -> Tensor:
    """Return z above 0, exp(z) - 1 below."""
    return F.elu(z)


@activation("Klambauer et al. 2017", max_derivative=1.7580993408473766, initialiser="lecun_normal")
def selu(z: Tensor) -> Tensor:
    """Return the scaled ELU whose activations keep mean 0 and variance 1."""
    return F.selu(z)


@activation("Hendrycks & Gimpel 2016; exact form", max_derivative=1.1289041, initialiser="he_normal")
def gelu(z: Tensor) -> Tensor:
    """Return z times the normal distribution's share below z."""
    return F.gelu(z)


@activation("Elfwing et al. 2018", max_derivative=1.0998393, initialiser="he_normal")
def silu(z: Tensor) -> Tensor:
    """Return z times sigmoid(z)."""
    return F.silu(z)


@activation("no non-linearity: a deep linear network", max_derivative=1.0, initialiser="glorot_normal")
def identity(z: Tensor) -> Tensor:
    """Return z."""
    return z


class Activation(nn.Module):
    """Applies an activation without parameters elementwise. Shape: (R, ...) to the same."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = check_name("activation", name, ACTIVATIONS)

    def forward(self, z: Tensor) -> Tensor:
        result: Tensor = FUNCTIONS[self.name](z)
        return result

    def extra_repr(self) -> str:
        return self.name


@activation("He et al. 2015; learned slope, starts at 0.25", max_derivative=1.0, initialiser="he_normal", name="prelu")
class PReLU(Activation):
    """max(0, z) + slope * min(0, z), one learned slope per replica (He et al. 2015). Shape: (R, ...) to the same."""

    def __init__(self, seeds: Sequence[int], layer: int, width: int = 1) -> None:
        super().__init__("prelu")
        self.slope = nn.Parameter(torch.full((len(seeds),), PRELU_START))

    def forward(self, z: Tensor) -> Tensor:
        # The replicas stand where torch has the channels.
        return F.prelu(z[None], self.slope)[0]


@activation(
    "Keras' PReLU; one slope per unit, starts at 0", max_derivative=1.0, initialiser="he_normal", name="prelu_unit"
)
class PReLUPerUnit(Activation):
    """max(0, z) + slope * min(0, z), one learned slope per unit, 0 at the start, as Keras has it.

    Of convolutions one per channel, as of He et al. 2015; Keras has one per pixel there, unless told to share them.

    Shape: slope (R, C); input (R, B, C, ...) to the same, or (R, ...) where C is 1.
    """

    def __init__(self, seeds: Sequence[int], layer: int, width: int = 1) -> None:
        super().__init__("prelu_unit")
        self.slope = nn.Parameter(torch.zeros(len(seeds), width))

    def forward(self, z: Tensor) -> Tensor:
        slope = self.slope if z.dim() == 2 else self.slope.view(len(z), 1, -1, *[1] * (z.dim() - 3))
        # As where(z > 0, z, slope * z), bit for bit and at 0 too.
        return torch.relu(z) + slope * z.clamp(max=0)


@activation("Xu et al. 2015; slope from U[1/8, 1/3]", max_derivative=1.0, initialiser="he_normal", name="rrelu")
class RReLU(Activation):
    """Leaky ReLU with a slope drawn anew for every element in training, and its mean in evaluation (Xu et al. 2015).

    Shape: (R, ...) to the same.
    """

    def __init__(self, seeds: Sequence[int], layer: int, width: int = 1) -> None:
        super().__init__("rrelu")
        self.noise = Noise(seeds, layer)

    def forward(self, z: Tensor) -> Tensor:
        low, high = RRELU_RANGE
        if not self.training:
            return F.leaky_relu(z, (low + high) / 2)
        slope = (low + (high - low) * self.noise.uniform(z)).to(z.dtype)
        # As where(z > 0, z, slope * z), bit for bit and at 0 too, in a third of its time.
        return torch.relu(z) + slope * z.clamp(max=0)


_GRADIENT = torch.ops.aten
DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda one, z: _GRADIENT.sigmoid_backward(one, torch.sigmoid(z)),
    "tanh": lambda one, z: _GRADIENT.tanh_backward(one, torch.tanh(z)),
    "relu": lambda one, z: _GRADIENT.threshold_backward(one, z, 0),
    "leaky_relu": lambda one, z: _GRADIENT.leaky_relu_backward(one, z, LEAKY_SLOPE, False),
    "silu": _GRADIENT.silu_backward,
    "gelu": _GRADIENT.gelu_backward,
}
"""What autograd itself calls for these activations, handed ones: all that a probe needs, in a fifth of the time."""


def derivative(activation: nn.Module, z: Tensor) -> Tensor:
    """Return phi'(z) elementwise, as in evaluation (a random slope at its mean): (R, ...) to the same.

    By torch's own derivative where it has one of that name, else through autograd.
    """
    closed = DERIVATIVES.get(activation.name) if type(activation) is Activation else None
    if closed is not None:
        z = z.detach()
        return closed(z.new_ones(()).expand_as(z), z)
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


def build_activation(name: str, seeds: Sequence[int], layer: int, width: int = 1) -> Activation:
    """Return the module of an activation for len(seeds) replicas, as hidden layer `layer` of a width."""
    function = FUNCTIONS[check_name("activation", name, ACTIVATIONS)]
    return function(seeds, layer, width) if isinstance(function, type) else Activation(name)
