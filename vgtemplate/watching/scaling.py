"""By what automatic mixed precision has multiplied a loss, and so every gradient, when an optimiser steps."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from vgtemplate.watching.tally import wide

_FRAMES = 16


def find_scaler() -> Any:
    """Return the GradScaler that is calling the optimiser's step at this moment; None if none is, or it is off."""
    frame = sys._getframe(1)
    for _ in range(_FRAMES):
        # To ask a frame for its values costs more than to ask its code for their names.
        if "self" in frame.f_code.co_varnames[:1] and isinstance(
            scaler := frame.f_locals["self"], torch.amp.GradScaler
        ):
            return scaler if scaler.is_enabled() else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def loss_scale(scaler: Any) -> Tensor | float:
    """Return by what a scaler multiplies the loss now, on its device; 1 without a scaler."""
    scale = getattr(scaler, "_scale", None)
    if not isinstance(scale, Tensor):
        return 1.0
    return scale.detach().to(wide(scale.device))


def scale_left(optimizer: torch.optim.Optimizer, scaler: Any) -> Tensor | float:
    """Return by what the gradients of an optimiser's parameters are too large at this moment.

    `unscale_` has divided them by the scale, but for a fused optimiser, which does so while it steps.
    """
    state = getattr(scaler, "_per_optimizer_states", {}).get(id(optimizer))
    return loss_scale(scaler) if state is None or state["stage"].name == "READY" else 1.0
