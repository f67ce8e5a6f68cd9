"""From a model's configuration to the population network."""

from __future__ import annotations

from collections.abc import Sequence

from vgtemplate.config.schema import ModelConfig
from vgtemplate.nn.cnn import CNN
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.resnet import ResNet

Model = MLP | CNN | ResNet
MODELS: dict[str, type[MLP] | type[CNN] | type[ResNet]] = {"mlp": MLP, "cnn": CNN, "resnet": ResNet}


def build_model(config: ModelConfig, input_shape: Sequence[int], num_classes: int, seeds: Sequence[int]) -> Model:
    """Return the population: one replica per seed, (R, B, C, H, W) images to (R, B, K) logits."""
    return MODELS[config.kind](config, input_shape, num_classes, seeds)
