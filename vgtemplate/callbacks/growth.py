"""How large the gradient and the weights are at every step, of each replica as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate import measure
from vgtemplate.lightning import pl


def _joint_norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the norm over all tensors together, (R, ...) each: (R,), float64."""
    norms: Tensor = torch.linalg.vector_norm(torch.stack([measure.norm(tensor) for tensor in tensors]), dim=0)
    return norms


class GrowthRecorder(pl.Callback):
    """Records of a population, of every step: gradient_norm and weight_norm, both (R, T).

    gradient_norm is the norm of the step's gradient over all parameters together, before clipping; weight_norm that of
    all weights after the step, the output layer's among them, biases and scales not. One host transfer, at the end.
    """

    def __init__(self) -> None:
        self._gradients: list[Tensor] = []
        self._weights: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self._gradients.append(_joint_norm(each.grad for each in pl_module.parameters() if each.grad is not None))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        if len(self._weights) < len(self._gradients):
            self._weights.append(_joint_norm(each.detach() for each in pl_module.parameters() if each.dim() > 2))

    def state_dict(self) -> dict[str, Any]:
        named = {"gradients": self._gradients, "weights": self._weights}
        return {name: torch.stack(norms) for name, norms in named.items() if norms}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._gradients, self._weights = (list(state_dict.get(name, ())) for name in ("gradients", "weights"))

    def series(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return gradient_norm and weight_norm, (R, T)."""
        named = {"gradient_norm": self._gradients, "weight_norm": self._weights}
        return {name: torch.stack(norms, dim=1).cpu().numpy() for name, norms in named.items()}
