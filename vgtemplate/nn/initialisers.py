"""Weight initialisers by name: each draws one replica's weights from the generator it is handed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgtemplate.config.catalogue import INITIALISERS
from vgtemplate.config.seeding import Stream, derive

if TYPE_CHECKING:
    from vgtemplate.config.network import InitialiserConfig


@dataclass(frozen=True)
class Fans:
    """How many inputs a unit reads (`fan_in`) and how many units read an input (`fan_out`)."""

    fan_in: int
    fan_out: int

    @property
    def fan_avg(self) -> float:
        """Mean of the two (Glorot & Bengio 2010, eq. 12)."""
        return (self.fan_in + self.fan_out) / 2


Shape = tuple[int, ...]
Initialiser = Callable[[Shape, Fans, torch.Generator], Tensor]


FUNCTIONS: dict[str, Initialiser] = {}
"""By name: draws one replica's weights of a shape; to add one, write it below with its decorator."""
initialiser = INITIALISERS.decorator(FUNCTIONS)


def _normal(shape: Shape, variance: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * math.sqrt(variance)


def _uniform(shape: Shape, bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


@initialiser("Glorot & Bengio 2010 (Xavier): variance 1/fan_avg")
def glorot_normal(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1 / fan_avg)."""
    return _normal(shape, 1 / fans.fan_avg, generator)


@initialiser("Glorot & Bengio 2010, eq. 16: r = sqrt(3/fan_avg)")
def glorot_uniform(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from U(-r, r), r = sqrt(3 / fan_avg)."""
    return _uniform(shape, math.sqrt(3 / fans.fan_avg), generator)


@initialiser("LeCun et al. 1998: variance 1/fan_in")
def lecun_normal(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1 / fan_in)."""
    return _normal(shape, 1 / fans.fan_in, generator)


@initialiser("LeCun et al. 1998: r = sqrt(3/fan_in)")
def lecun_uniform(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from U(-r, r), r = sqrt(3 / fan_in)."""
    return _uniform(shape, math.sqrt(3 / fans.fan_in), generator)


@initialiser("He et al. 2015 (Kaiming): variance 2/fan_in")
def he_normal(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 2 / fan_in)."""
    return _normal(shape, 2 / fans.fan_in, generator)


@initialiser("He et al. 2015: r = sqrt(6/fan_in)")
def he_uniform(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from U(-r, r), r = sqrt(6 / fan_in)."""
    return _uniform(shape, math.sqrt(6 / fans.fan_in), generator)


@initialiser("torch.nn.Linear.reset_parameters: r = 1/sqrt(fan_in)")
def pytorch_default(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from U(-r, r), r = 1 / sqrt(fan_in)."""
    return _uniform(shape, 1 / math.sqrt(fans.fan_in), generator)


@initialiser("N(0, std^2), whatever the fans", needs_std=True)
def normal(shape: Shape, _: Fans, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1), which the layer multiplies by the given deviation."""
    return _normal(shape, 1.0, generator)


@initialiser("Saxe et al. 2014")
def orthogonal(shape: Shape, _: Fans, generator: torch.Generator) -> Tensor:
    """Draw a (semi-)orthogonal matrix from the Haar measure, the shape flattened to two axes (Saxe et al. 2014)."""
    rows, columns = shape[0], math.prod(shape[1:])
    gaussian = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    q, r = torch.linalg.qr(gaussian)
    q = q * torch.sign(torch.diagonal(r))
    matrix: Tensor = q if rows >= columns else q.T
    return matrix.reshape(shape).contiguous()


@dataclass(frozen=True)
class Draws:
    """Everything a layer needs to draw its parameters: the settings, and one generator per replica."""

    weights: InitialiserConfig
    bias: str
    generators: Sequence[torch.Generator]

    def draw_weight(self, shape: Shape, fans: Fans) -> nn.Parameter:
        """Return (R, *shape) weights; replica r consumes generator r alone."""
        draw = FUNCTIONS[self.weights.name]
        scale = self.weights.gain * (1.0 if self.weights.std is None else self.weights.std)
        return nn.Parameter(torch.stack([draw(shape, fans, generator) * scale for generator in self.generators]))

    def draw_bias(self, size: int, fans: Fans) -> nn.Parameter | None:
        """Return (R, size) biases, or None where the network has none."""
        if self.bias == "none":
            return None
        if self.bias == "zeros":
            return nn.Parameter(torch.zeros(len(self.generators), size))
        draw = normal if self.bias == "normal" else pytorch_default
        return nn.Parameter(torch.stack([draw((size,), fans, generator) for generator in self.generators]))


def build_draws(weights: InitialiserConfig, bias: str, seeds: Sequence[int]) -> Draws:
    """Return the draws of a population: replica r's generator depends on seeds[r] alone."""
    generators = [torch.Generator().manual_seed(derive(seed, Stream.WEIGHTS)) for seed in seeds]
    return Draws(weights, bias, generators)
