"""A PyTorch-Lightning template with probes for gradients, and a laboratory of claims about them on top (lab/).

The names below are for code that uses vgtemplate from outside; inside, the defining file is imported. They are
loaded when they are asked for, so that `import vgtemplate` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgtemplate.callbacks.activation import ActivationProbe as ActivationProbe
    from vgtemplate.callbacks.doctor import Doctor as Doctor
    from vgtemplate.callbacks.gradient import GradientProbe as GradientProbe
    from vgtemplate.callbacks.recorder import Recorder as Recorder
    from vgtemplate.callbacks.weight import WeightProbe as WeightProbe
    from vgtemplate.config.schema import ArmConfig as ArmConfig
    from vgtemplate.data.module import PopulationData as PopulationData
    from vgtemplate.doctor.diagnose import diagnose as diagnose
    from vgtemplate.doctor.loop import watch as watch
    from vgtemplate.nn.build import build_model as build_model
    from vgtemplate.nn.replicate import replicate as replicate
    from vgtemplate.training.module import PopulationModule as PopulationModule
    from vgtemplate.training.run import train_arm as train_arm

_HOMES = {
    "ActivationProbe": "callbacks.activation",
    "ArmConfig": "config.schema",
    "Doctor": "callbacks.doctor",
    "GradientProbe": "callbacks.gradient",
    "PopulationData": "data.module",
    "PopulationModule": "training.module",
    "Recorder": "callbacks.recorder",
    "WeightProbe": "callbacks.weight",
    "build_model": "nn.build",
    "diagnose": "doctor.diagnose",
    "replicate": "nn.replicate",
    "train_arm": "training.run",
    "watch": "doctor.loop",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vgtemplate' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vgtemplate.{_HOMES[name]}"), name)
