"""From a model's configuration to the population network."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from vgtemplate.config.network import ModelConfig
from vgtemplate.config.own import OFFERED, Factory, build
from vgtemplate.nn.cnn import CNN
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.replicate import Population, replicate
from vgtemplate.nn.resnet import ResNet
from vgtemplate.nn.stacks import MODELS

Model = MLP | CNN | ResNet | Population


def build_model(
    config: ModelConfig | Factory, input_shape: Sequence[int], num_classes: int, seeds: Sequence[int]
) -> Model:
    """Return the population: one replica per seed, (R, B, C, H, W) images to (R, B, K) logits.

    What a factory of one's own makes takes whatever its data are, (R, B, ...).

    Raises:
        UserError: the factory fails, or what it returns makes no population (`replicate`).
    """
    if isinstance(config, ModelConfig):
        return MODELS[config.kind](config, input_shape, num_classes, seeds)
    values: tuple[Any, ...] = (tuple(input_shape), num_classes)
    offered = dict(zip(OFFERED["model"], values, strict=True))
    return replicate(functools.partial(build, "model", config, offered), seeds)
