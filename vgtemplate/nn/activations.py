"""Activation functions by name, and the modules that apply them with the replica axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, LEAKY_SLOPE),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "identity": lambda z: z,
}
"""The functions without parameters; shape (R, ...) to the same."""


class Activation(nn.Module):
    """Applies one of FUNCTIONS elementwise. Shape: (R, ...) to the same."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = check_name("activation", name, ACTIVATIONS)

    def forward(self, z: Tensor) -> Tensor:
        return FUNCTIONS[self.name](z)

    def extra_repr(self) -> str:
        return self.name


class PReLU(Activation):
    """max(0, z) + slope * min(0, z), one learned slope a replica (He et al. 2015). Shape: (R, ...) to the same."""

    def __init__(self, num_replicas: int) -> None:
        super().__init__("prelu")
        self.slope = nn.Parameter(torch.full((num_replicas,), PRELU_START))

    def forward(self, z: Tensor) -> Tensor:
        # The replicas stand where torch has the channels.
        return F.prelu(z[None], self.slope)[0]


class RReLU(Activation):
    """Leaky ReLU with a slope drawn anew for every element in training, and its mean in evaluation (Xu et al. 2015).

    Shape: (R, ...) to the same.
    """

    def __init__(self, seeds: Sequence[int], layer: int) -> None:
        super().__init__("rrelu")
        self.noise = Noise(seeds, layer)

    def forward(self, z: Tensor) -> Tensor:
        low, high = RRELU_RANGE
        if not self.training:
            return F.leaky_relu(z, (low + high) / 2)
        slope = (low + (high - low) * self.noise.uniform(z)).to(z.dtype)
        # As where(z > 0, z, slope * z), bit for bit and at 0 too, in a third of its time.
        return torch.relu(z) + slope * z.clamp(max=0)


STATEFUL = ("prelu", "rrelu")
"""Names that FUNCTIONS lacks because they have parameters or noise."""


def build_activation(name: str, seeds: Sequence[int], layer: int) -> Activation:
    """Return the module of a catalogue row for a population of len(seeds) replicas, as hidden layer `layer`."""
    if name == "prelu":
        return PReLU(len(seeds))
    if name == "rrelu":
        return RReLU(seeds, layer)
    return Activation(name)
