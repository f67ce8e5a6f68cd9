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
        self._initial_sizes = [measure.norm(weight) for weight in self._initial]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "initial": list(self._initial)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._resumed = state_dict["initial"]

    def begin(self, pl_module: pl.LightningModule) -> None:
        self._before = [layer.weight.clone() for layer in self.layers]

    def end(self, pl_module: pl.LightningModule) -> None:
        after = [layer.weight for layer in self.layers]
        sizes = [measure.norm(weight) for weight in self._before]
        counts = [weight[0].numel() for weight in self._before]
        self.recorder.add("weight_rms", [size / math.sqrt(count) for size, count in zip(sizes, counts, strict=True)])
        self.recorder.add("update_ratio", list(map(measure.update_ratio, self._before, after, sizes)))
        self.recorder.add("travel", list(map(measure.update_ratio, self._initial, after, self._initial_sizes)))
        self._before = []
