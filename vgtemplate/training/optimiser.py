"""From an optimiser's configuration to torch's: elementwise rules, so replicas never mix; and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from vgtemplate.config.schema import OptimiserConfig


def build_optimiser(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return torch's optimiser of that name, its other settings at torch's defaults."""
    if config.name == "sgd":
        return SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=True)
    rule = Adam if config.name == "adam" else AdamW
    return rule(parameters, config.lr, weight_decay=config.weight_decay, foreach=True)


def rate_factor(config: OptimiserConfig, step: int, num_steps: int) -> float:
    """Return what the learning rate is multiplied by at a step, counted from 0, of a run of so many.

    Both schedules go by the whole run, the warm-up included, as He et al. 2016 and Loshchilov & Hutter 2017 have them.
    """
    rise = min(1.0, (step + 1) / config.warm_up) if config.warm_up else 1.0
    done = step / num_steps
    if config.schedule == "step":
        return rise * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
    if config.schedule == "cosine":
        return rise * (1 + math.cos(math.pi * done)) / 2
    return rise


def build_schedule(config: OptimiserConfig, optimiser: torch.optim.Optimizer, num_steps: int) -> LambdaLR:
    """Return torch's scheduler for a run of so many steps, to be told of each."""
    # Past the last step torch asks once more.
    return LambdaLR(optimiser, lambda step: rate_factor(config, min(step, num_steps), num_steps))
