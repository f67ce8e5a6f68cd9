"""Finds the hidden layers of a population of vgtemplate.nn, which lists them itself, and those of another network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vgtemplate.config import catalogue
from vgtemplate.lightning import pl
from vgtemplate.nn.stacks import MODELS
from vgtemplate.watching.rows import find_rows


@dataclass(frozen=True)
class ProbedLayer:
    """One hidden layer: whose weights, whose activation (its input is the pre-activation), whose output."""

    name: str
    weighted: nn.Module
    activation: nn.Module
    output: nn.Module

    @property
    def weight(self) -> Tensor:
        """The layer's weight, (R, ...), detached."""
        return self.weighted.get_parameter("weight").detach()

    def gradient(self, name: str) -> Tensor | None:
        """Return the gradient of the layer's weight or bias, (R, ...); None where it has none."""
        parameter = getattr(self.weighted, name, None)
        return None if parameter is None else parameter.grad

    @property
    def max_derivative(self) -> float | None:
        """Largest |phi'| of the layer's activation; None if the activation is not in the catalogue."""
        row = catalogue.ACTIVATIONS.get(str(getattr(self.activation, "name", "")))
        return row.max_derivative if row else None


def find_layers(module: pl.LightningModule) -> list[ProbedLayer]:
    """Return the hidden layers from input to output of a population of vgtemplate.nn; none of another network."""
    population = next((child for child in module.modules() if isinstance(child, tuple(MODELS.values()))), None)
    if population is None:
        return []
    hidden = population.get_submodule("hidden_layers")
    assert isinstance(hidden, nn.ModuleList)
    return [_layer(number, len(hidden), layer) for number, layer in enumerate(hidden, start=1)]


def mixing_layers(module: pl.LightningModule, layers: Sequence[str]) -> list[str]:
    """Return those layers of a watched network whose weights mix units, as the weights of normalisations do not."""
    mixing = {row.name for row in find_rows(module) if row.is_matrix}
    return [layer for layer in layers if layer in mixing]


def _layer(number: int, depth: int, layer: nn.Module) -> ProbedLayer:
    name = f"layer_{number:0{len(str(depth))}d}"
    return ProbedLayer(name, layer.get_submodule("linear"), layer.get_submodule("activation"), layer)
