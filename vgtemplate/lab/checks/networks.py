"""The small float64 networks that several checks measure."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config.schema import ModelConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.blocks import HiddenLayer
from vgtemplate.nn.linear import Linear
from vgtemplate.nn.mlp import MLP


def build(settings: dict[str, object], num_inputs: int, num_classes: int, check: int, num_replicas: int) -> MLP:
    """Return a float64 population of multi-layer perceptrons; `check` is the claim's number in docs/register.md."""
    seeds = [derive(check, Stream.CHECKS, replica) for replica in range(num_replicas)]
    return MLP(ModelConfig.model_validate(settings), (num_inputs,), num_classes, seeds).double()


def layers_of(model: MLP) -> list[HiddenLayer]:
    """Return the hidden layers."""
    return [cast(HiddenLayer, layer) for layer in model.hidden_layers]


def linear_of(layer: HiddenLayer) -> Linear:
    """Return the linear map of a hidden layer."""
    return cast(Linear, layer.linear)


def losses_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each replica's mean cross-entropy: (R, B, K), (R, B) -> (R,)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(dim=1)


def sgd_step(model: MLP, lr: float) -> None:
    """Take one step of SGD, W - lr dL/dW; written out because torch.optim imports a compiler, which takes seconds."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(lr * parameter.grad)
