"""When to end early: each replica by its own measure, the run when all are done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vgtemplate.callbacks.contracts import Scores, ends_step, losses_of, require
from vgtemplate.config.schema import LOSS_WINDOW
from vgtemplate.lightning import pl


class StopAtLoss(pl.Callback):
    """Ends the run once every replica's training loss, averaged over LOSS_WINDOW steps, was at `target` or below.

    A replica that reached it goes on training until all have; one that diverged is not waited for. The device is asked
    once per window.
    """

    def __init__(self, target: float) -> None:
        self.target = target
        self._steps = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, _: object, batch_idx: int
    ) -> None:
        losses = losses_of(outputs)
        if losses is None or not ends_step(trainer, batch_idx):
            return
        if self._steps == 0:
            self._window = losses.new_full((LOSS_WINDOW, len(losses)), torch.inf)
            self._done = torch.zeros_like(losses, dtype=torch.bool)
        elif self._window.device != losses.device:  # as a checkpoint gave it back
            self._window, self._done = self._window.to(losses.device), self._done.to(losses.device)
        self._window[self._steps % LOSS_WINDOW] = losses
        self._done |= (self._window.mean(dim=0) <= self.target) | ~losses.isfinite()
        self._steps += 1
        if self._steps % LOSS_WINDOW == 0 and bool(self._done.all()):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "window": self._window, "done": self._done} if self._steps else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps, self._window, self._done = (state_dict[name] for name in ("steps", "window", "done"))


class StopAtAccuracy(pl.Callback):
    """Finishes a replica once its accuracy over all training images is at `target`; ends the run when all are done.

    Looks at the end of each epoch. A finished replica is kept as it was then: at the end of the run its parameters and
    running statistics are put back, so what is evaluated afterwards is the network that reached the target.

    Args:
        target: an accuracy in (0, 1].
        batches: the training images in order, (R, b, ...), and their labels.

    Raises:
        ValueError: at the start of the training, if the module has no `model`, `num_replicas` or `score_over`.
    """

    def __init__(self, target: float, batches: Iterable[Any]) -> None:
        self.target = target
        self._batches = batches
        self._resumed: dict[str, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module, device = require(pl_module, Scores, self), pl_module.device
        resumed, self._resumed = self._resumed, {}
        if resumed:
            self._finished, self._finished_at = resumed["finished"].to(device), resumed["finished_at"].numpy()
            self._kept = {name: tensor.to(device) for name, tensor in resumed["kept"].items()}
            return
        self._finished = torch.zeros(module.num_replicas, dtype=torch.bool, device=device)
        self._finished_at = np.full(module.num_replicas, -1)
        self._kept = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self._finished, "finished_at": torch.from_numpy(self._finished_at), "kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = require(pl_module, Scores, self)
        newly = (module.score_over(self._batches) >= self.target) & ~self._finished
        if newly.any():
            self._finished |= newly
            self._finished_at[newly.cpu().numpy()] = trainer.global_step
            for name, tensor in module.model.state_dict().items():
                self._kept[name][newly] = tensor[newly]
        if self._finished.all():
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, tensor in require(pl_module, Scores, self).model.state_dict().items():
            tensor[self._finished] = self._kept[name][self._finished]

    def series(self) -> dict[str, npt.NDArray[Any]]:
        """Return finished_at (R,): the number of steps after which a replica was done; -1: never."""
        return {"finished_at": self._finished_at}
