"""The training curves of every replica, and the step at which one diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.callbacks.contracts import ends_step
from vgtemplate.lightning import pl

_ROWS = 512
"""Steps for which there is room at first."""


class CurveRecorder(pl.Callback):
    """Keeps each step's loss and score per replica on the device, and moves them once, at the end.

    Reads `losses` and `scores`, both (R,), from the training step's outputs. A replica has diverged at the first
    step whose loss is not finite; the others go on untouched.
    """

    def __init__(self) -> None:
        # One tensor that doubles: thousands of small ones that stay, among large ones that go, split the heap up.
        self._rows = torch.empty(0, 2, 0)
        self._count = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, _: object, batch_idx: int
    ) -> None:
        if not ends_step(trainer, batch_idx):
            return
        losses: Tensor = outputs["losses"]
        if self._count == len(self._rows):
            rows = losses.new_empty(max(_ROWS, 2 * self._count), 2, len(losses))
            if self._count:
                rows[: self._count] = self._rows
            self._rows = rows
        torch.stack([losses, outputs["scores"].to(losses.dtype)], out=self._rows[self._count])
        self._count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows[: self._count].clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows = state_dict["rows"]
        self._count = len(self._rows)

    def series(self, trainer: pl.Trainer, score: str = "accuracy") -> dict[str, npt.NDArray[Any]]:
        """Return train_loss and train_`score` (R, T), averaged over the processes, and diverged_at (R,), -1: never.

        Without a name of the score ("") there is none.
        """
        curves = self._rows[: self._count].permute(1, 2, 0).contiguous()
        reduced = trainer.strategy.reduce(curves.to(trainer.strategy.root_device), reduce_op="mean")
        loss, values = reduced.cpu().numpy()
        bad = ~np.isfinite(loss)
        diverged_at = np.where(bad.any(axis=1), bad.argmax(axis=1), -1)
        scores = {f"train_{score}": values} if score else {}
        return {"train_loss": loss, **scores, "diverged_at": diverged_at}
