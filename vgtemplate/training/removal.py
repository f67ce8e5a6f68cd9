"""What a trained network can do without one of its layers (Veit et al. 2016, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from vgtemplate.training.module import Batch, PopulationModule


def _hand_on(_: nn.Module, inputs: tuple[Any, ...], __: Any) -> Any:
    # With a shortcut that is what is left of the layer; without one the next layer is given the last one's output.
    return inputs[0]


def scores_without_layers(module: PopulationModule, batches: Iterable[Batch]) -> Tensor:
    """Return each replica's score with each hidden layer in turn left out, (R, L); NaN for the first one.

    A layer that is left out hands on its input: of a residual layer that is its shortcut. The network is not trained
    again, and batch normalisation keeps its running statistics. The first layer, which changes the width, is never left
    out.

    Args:
        module: a population whose `hidden_layers` have one width.
        batches: gone through once per layer.
    """
    _, *others = module.model.get_submodule("hidden_layers").children()
    scores = []
    for layer in others:
        handle = layer.register_forward_hook(_hand_on)
        try:
            scores.append(module.score_over(batches))
        finally:
            handle.remove()
    missing = torch.full((module.num_replicas,), torch.nan)
    return torch.stack([missing.to(module.device, torch.float64), *scores], dim=1)
