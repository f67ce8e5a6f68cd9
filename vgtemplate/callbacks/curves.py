"""The training curves of every replica, and the step at which one diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor


class CurveRecorder(pl.Callback):
    """Keeps each step's loss and accuracy a replica on the device, and moves them once, at the end.

    Reads `losses` and `accuracies`, both (R,), from the training step's outputs. A replica has diverged at the first
    step whose loss is not finite; the others go on untouched.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._accuracies: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._losses.append(outputs["losses"])
        self._accuracies.append(outputs["accuracies"])

    def series(self, trainer: pl.Trainer) -> dict[str, npt.NDArray[Any]]:
        """Return train_loss and train_accuracy (R, T), averaged over the processes, and diverged_at (R,), -1: never."""
        losses = torch.stack(self._losses, dim=1)
        accuracies = torch.stack(self._accuracies, dim=1).to(losses.dtype)
        reduced = trainer.strategy.reduce(torch.stack([losses, accuracies]), reduce_op="mean")
        loss, accuracy = reduced.cpu().numpy()
        bad = ~np.isfinite(loss)
        diverged_at = np.where(bad.any(axis=1), bad.argmax(axis=1), -1)
        return {"train_loss": loss, "train_accuracy": accuracy, "diverged_at": diverged_at}
