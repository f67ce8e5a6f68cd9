"""Mean-field theory of signal and gradient at initialisation; it measures nothing and knows no framework.

The names below are for code outside; inside, the defining file is imported. They are loaded when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgtemplate.theory.correlation import depth_scales
    from vgtemplate.theory.critical import balancing_factor, critical_gain, critical_sigma_w_sq
    from vgtemplate.theory.layers import Layer
    from vgtemplate.theory.numpy_activations import Activation
    from vgtemplate.theory.phase import phase_diagram
    from vgtemplate.theory.profiles import Prediction, predict, predict_layers

_HOMES = {
    "Activation": "numpy_activations",
    "Layer": "layers",
    "Prediction": "profiles",
    "balancing_factor": "critical",
    "critical_gain": "critical",
    "critical_sigma_w_sq": "critical",
    "depth_scales": "correlation",
    "phase_diagram": "phase",
    "predict": "profiles",
    "predict_layers": "profiles",
}

__all__ = [
    "Activation",
    "Layer",
    "Prediction",
    "balancing_factor",
    "critical_gain",
    "critical_sigma_w_sq",
    "depth_scales",
    "phase_diagram",
    "predict",
    "predict_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vgtemplate.theory' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vgtemplate.theory.{_HOMES[name]}"), name)
