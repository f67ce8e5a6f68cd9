"""A laboratory for vanishing and exploding gradients, in the form of a PyTorch-Lightning template.

The names below are for code that uses vgtemplate from outside; inside, the defining file is imported. They are
loaded when they are asked for, so that `import vgtemplate` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgtemplate.callbacks.activation import ActivationProbe
    from vgtemplate.callbacks.gradient import GradientProbe
    from vgtemplate.callbacks.recorder import Recorder
    from vgtemplate.callbacks.weight import WeightProbe
    from vgtemplate.config.schema import ArmConfig
    from vgtemplate.data.module import PopulationData
    from vgtemplate.nn.build import build_model
    from vgtemplate.nn.replicate import replicate
    from vgtemplate.training.module import PopulationModule
    from vgtemplate.training.run import train_arm

_HOMES = {
    "ActivationProbe": "callbacks.activation",
    "ArmConfig": "config.schema",
    "GradientProbe": "callbacks.gradient",
    "PopulationData": "data.module",
    "PopulationModule": "training.module",
    "Recorder": "callbacks.recorder",
    "WeightProbe": "callbacks.weight",
    "build_model": "nn.build",
    "replicate": "nn.replicate",
    "train_arm": "training.run",
}

__all__ = [
    "ActivationProbe",
    "ArmConfig",
    "GradientProbe",
    "PopulationData",
    "PopulationModule",
    "Recorder",
    "WeightProbe",
    "build_model",
    "replicate",
    "train_arm",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vgtemplate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vgtemplate.{_HOMES[name]}"), name)
