"""The training curves of every replica, and the step at which one diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor


class CurveRecorder(pl.Callback):
    """Keeps each step's loss and score a replica on the device, and moves them once, at the end.

    Reads `losses` and `scores`, both (R,), from the training step's outputs. A replica has diverged at the first
    step whose loss is not finite; the others go on untouched.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._scores: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._losses.append(outputs["losses"])
        self._scores.append(outputs["scores"])

    def series(self, trainer: pl.Trainer, score: str = "accuracy") -> dict[str, npt.NDArray[Any]]:
        """Return train_loss and train_`score` (R, T), averaged over the processes, and diverged_at (R,), -1: never."""
        losses = torch.stack(self._losses, dim=1)
        scores = torch.stack(self._scores, dim=1).to(losses.dtype)
        reduced = trainer.strategy.reduce(torch.stack([losses, scores]), reduce_op="mean")
        loss, values = reduced.cpu().numpy()
        bad = ~np.isfinite(loss)
        diverged_at = np.where(bad.any(axis=1), bad.argmax(axis=1), -1)
        return {"train_loss": loss, f"train_{score}": values, "diverged_at": diverged_at}
