"""Tells a person how far the training is, without slowing it down."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vgtemplate.callbacks.contracts import losses_of
from vgtemplate.lightning import pl

_REFRESH_SECONDS = 0.25
"""Between two looks at the loss: each look waits for the device."""


def _done(trainer: pl.Trainer) -> int:
    """Return how many of the steps that Lightning expects are done."""
    if trainer.max_steps == -1 and not trainer.lightning_module.automatic_optimization:
        # It counts the steps of each optimiser, but expects one per batch where the length is given in epochs.
        return trainer.fit_loop.epoch_loop.total_batch_idx + 1
    return trainer.global_step


class ProgressBar(pl.Callback):
    """A bar with a title, e.g. the arm's name, the step, the median training loss of the replicas and the time left."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._looked_at = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            # The output is for what came of it, e.g. as JSON.
            console=Console(stderr=True),
        )
        total = int(trainer.estimated_stepping_batches)
        self._task = self._progress.add_task(self._title, total=total, loss="-", completed=_done(trainer))
        self._progress.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: object) -> None:
        now = time.monotonic()
        if trainer.is_global_zero and now - self._looked_at > _REFRESH_SECONDS:
            self._looked_at = now
            losses = losses_of(outputs)
            shown = "-" if losses is None else f"{losses.median().item():.4f}"
            self._progress.update(self._task, completed=_done(trainer), loss=shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._progress.update(self._task, completed=_done(trainer))
            self._progress.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "_progress"):
            self._progress.stop()
