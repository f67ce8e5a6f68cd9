"""The built-in networks by kind, which a probe has to tell from others; build.py makes them of a configuration."""

from __future__ import annotations

from vgtemplate.nn.cnn import CNN
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.resnet import ResNet

MODELS: dict[str, type[MLP] | type[CNN] | type[ResNet]] = {"mlp": MLP, "cnn": CNN, "resnet": ResNet}
