"""How far the weights move: in one step, and since the start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vgtemplate import measure
from vgtemplate.callbacks.probe import Probe
from vgtemplate.lightning import pl


class WeightProbe(Probe):
    """Records, of each layer's weights: weight_rms (before the step), update_ratio and travel (after it).

    Series (R, S, L). Keeps one copy of the initial weights for the travel.
    """

    looks = ("weights",)
    _initial: Sequence[Tensor] = ()
    _resumed: Sequence[Tensor] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        if not self.layers:
            return
        # In a run that goes on from a checkpoint the weights are no longer the initial ones.
        initial, self._resumed = self._resumed, None
        weights = [layer.weight for layer in self.layers]
        pairs = zip(initial or weights, weights, strict=True)
        self._initial = [tensor.to(weight.device, copy=True) for tensor, weight in pairs]
        self._initial_sizes = measure.norms(self._initial)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "initial": list(self._initial)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._resumed = state_dict["initial"]

    def begin(self, pl_module: pl.LightningModule) -> None:
        weights = [layer.weight for layer in self.layers]
        self._before, self._sizes = [weight.clone() for weight in weights], measure.norms(weights)

    def end(self, pl_module: pl.LightningModule) -> None:
        after = [layer.weight for layer in self.layers]
        roots = [math.sqrt(weight[0].numel()) for weight in after]
        self.recorder.add("weight_rms", self._sizes / self._sizes.new_tensor(roots))
        self.recorder.add("update_ratio", measure.update_ratios(self._before, after, self._sizes))
        self.recorder.add("travel", measure.update_ratios(self._initial, after, self._initial_sizes))
        self._before = []
