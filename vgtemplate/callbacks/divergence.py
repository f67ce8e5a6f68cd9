"""Where a replica diverged: the hidden layer whose output was the first, from the input, that is not finite."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from vgtemplate.callbacks.contracts import GivesLosses, ReportsLosses, require
from vgtemplate.callbacks.layers import find_layers
from vgtemplate.callbacks.replay import alone, call
from vgtemplate.lightning import pl
from vgtemplate.nn.noise import current_step

NEVER = -1


class DivergenceRecorder(pl.Callback):
    """Keeps the layer at which each replica of a population diverged.

    Looks at the module's `newest_losses` (R,) between forward and backward pass, for which the processor waits for the
    device once per step. At the step at which a replica's loss is not finite for the first time, the weights still are
    those that the step began with, so the batch is passed through the network once more and every layer is looked at.

    Raises:
        ValueError: in the first step, if the module has no `newest_losses`; when a replica diverges, if it has no
            `replica_losses`.
    """

    def __init__(self) -> None:
        self._layer = torch.empty(0, dtype=torch.int64)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._outputs = [layer.output for layer in find_layers(pl_module)]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: object) -> None:
        self._batch = batch

    def on_train_batch_end(self, *_: object) -> None:
        self._batch = None

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        losses = require(pl_module, ReportsLosses, self).newest_losses
        if not len(self._layer):
            self._layer = torch.full_like(losses, NEVER, dtype=torch.int64)
        self._layer = self._layer.to(losses.device)  # a checkpoint gave it back on the processor
        finite = losses.isfinite()
        if finite.all():
            return
        newly = ~finite & (self._layer == NEVER)
        if newly.any():
            layer = self._find(pl_module, len(losses)) if self._outputs else torch.zeros_like(self._layer)
            self._layer = torch.where(newly, layer, self._layer)

    @torch.no_grad()
    def _find(self, pl_module: pl.LightningModule, num_replicas: int) -> Tensor:
        """Return the number of the first layer, from 1, whose output is not finite, (R,); L + 1: the network's own."""
        require(pl_module, GivesLosses, self)
        finite: list[Tensor] = []

        def watch(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
            finite.append(output.isfinite().flatten(1).all(dim=1))

        with alone(pl_module, current_step(pl_module)):
            handles = [output.register_forward_hook(watch) for output in self._outputs]
            call(pl_module, "replica_losses", self._batch, parameters={})
            for handle in handles:
                handle.remove()
        # Only the first counts: what is not finite can be finite again, as a NaN that ReLU's derivative passes over.
        found = torch.stack([*finite, torch.zeros(num_replicas, dtype=torch.bool, device=finite[0].device)])
        return found.to(torch.int64).argmin(dim=0) + 1

    def state_dict(self) -> dict[str, Any]:
        return {"layer": self._layer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._layer = state_dict["layer"]

    def series(self) -> dict[str, npt.NDArray[Any]]:
        """Return diverged_layer (R,): hidden layer from 1, L + 1: the output, 0: not known, -1: never diverged."""
        return {"diverged_layer": self._layer.cpu().numpy()}
