"""Units that let no gradient pass, for any image: looked for before the first step and after the last."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vgtemplate import measure
from vgtemplate.callbacks.contracts import ShowsImages, check_order, lacking
from vgtemplate.callbacks.layers import find_layers
from vgtemplate.callbacks.loggers import log_values
from vgtemplate.callbacks.recorder import to_host
from vgtemplate.callbacks.stopping import StopAtAccuracy
from vgtemplate.lightning import pl
from vgtemplate.nn.activations import derivative

_CHUNK = 100
"""Probe images per forward pass; bounds the memory of a deep convolutional population."""
_CHANGE_WEIGHTS = (StopAtAccuracy, pl.callbacks.StochasticWeightAveraging, pl.callbacks.WeightAveraging)
"""What puts other weights in place at the end of the training."""


class DeadUnitProbe(pl.Callback):
    """Records the share of dead units of each hidden layer, over the module's `probe_images` (N, ...).

    Works on modules that offer these and `num_replicas`; of others it records nothing. Looks before the first step and
    after the last only: with 1,000 images one look takes as long as five training steps. Series: dead_fraction
    (R, 2, L), NaN where an output is NaN.

    Raises:
        ValueError: at the start of the training, if a callback that puts other weights in place at its end stands after
            it.
    """

    def __init__(self) -> None:
        self._looks: list[npt.NDArray[np.float64]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"looks": [torch.from_numpy(look) for look in self._looks]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._looks = [look.numpy() for look in state_dict["looks"]]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, _CHANGE_WEIGHTS):
                check_order(trainer, other, self)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._looks:
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        layers = find_layers(pl_module)
        if not layers or lacking(pl_module, ShowsImages):
            return
        found = to_host(_dead_fractions(pl_module, [layer.activation for layer in layers]))
        self._looks.append(found)
        values = dict(zip([layer.name for layer in layers], found.T, strict=True))
        log_values(trainer, {"dead_fraction": values}, trainer.global_step)

    def series(self) -> dict[str, npt.NDArray[Any]]:
        """Return dead_fraction (R, 2, L); nothing where nothing could be looked at."""
        return {"dead_fraction": np.stack(self._looks, axis=1)} if self._looks else {}


@torch.no_grad()
def _dead_fractions(pl_module: Any, activations: list[Any]) -> Tensor:
    """Return each layer's share of units that are dead over all images, (R, L), in evaluation mode."""
    dead: dict[int, Tensor] = {}
    broken: dict[int, Tensor] = {}

    def look(index: int, activation: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        units = measure.dead_units(derivative(activation, inputs[0]))
        nan = output.isnan().flatten(1).any(dim=1)
        dead[index] = units & dead[index] if index in dead else units
        broken[index] = nan | broken[index] if index in broken else nan

    handles = [activation.register_forward_hook(partial(look, index)) for index, activation in enumerate(activations)]
    modes = {module: module.training for module in pl_module.modules()}
    pl_module.eval()
    try:
        for chunk in pl_module.probe_images.split(_CHUNK):
            pl_module(chunk.expand(pl_module.num_replicas, *chunk.shape))
    finally:
        for module, mode in modes.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    shares = [measure.mean(dead[index]).masked_fill(broken[index], torch.nan) for index in sorted(dead)]
    return torch.stack(shares, dim=1)
