"""Mean-field theory of signal and gradient at initialisation; it measures nothing and knows no framework.

The names below are for code outside; inside, the defining file is imported. They are loaded when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgtemplate.theory.correlation import depth_scales as depth_scales
    from vgtemplate.theory.critical import balancing_factor as balancing_factor
    from vgtemplate.theory.critical import critical_gain as critical_gain
    from vgtemplate.theory.critical import critical_sigma_w_sq as critical_sigma_w_sq
    from vgtemplate.theory.layers import Layer as Layer
    from vgtemplate.theory.numpy_activations import Activation as Activation
    from vgtemplate.theory.phase import phase_diagram as phase_diagram
    from vgtemplate.theory.profiles import Prediction as Prediction
    from vgtemplate.theory.profiles import predict as predict
    from vgtemplate.theory.profiles import predict_layers as predict_layers

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

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vgtemplate.theory' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vgtemplate.theory.{_HOMES[name]}"), name)
