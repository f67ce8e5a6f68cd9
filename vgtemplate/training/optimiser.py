"""From an optimiser's configuration to torch's: elementwise rules, so replicas never mix."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW

from vgtemplate.config.schema import OptimiserConfig


def build_optimiser(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return torch's optimiser of that name, its other settings at torch's defaults."""
    if config.name == "sgd":
        return SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True)
    rule = Adam if config.name == "adam" else AdamW
    return rule(parameters, config.lr, weight_decay=config.weight_decay, foreach=True)
