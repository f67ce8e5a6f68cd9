"""Tells somebody the newest loss and scores while a training goes on, without slowing it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vgtemplate.callbacks.contracts import losses_of
from vgtemplate.lightning import pl

Tell = Callable[[int, Mapping[str, float]], object]
"""Takes a training step and the values of curves at it, by name: medians over the replicas."""

_FIRST_SECONDS = 5.0
"""A training that is over sooner is told as a whole at its end, by its record."""
_EVERY_SECONDS = 2.0
"""Between two looks at the loss: each look waits for the device."""


class LiveCurves(pl.Callback):
    """Tells the training loss every two seconds, and each validation; the names begin with `prefix`."""

    def __init__(self, tell: Tell, prefix: str = "") -> None:
        self._tell, self._prefix = tell, prefix
        self._next = 0.0
        self._validations = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._next = time.monotonic() + _FIRST_SECONDS

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: object) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        validations = getattr(pl_module, "validations", [])
        for step, losses, scores in validations[self._validations :]:
            known = {"validation_loss": losses} | ({f"validation_{pl_module.score}": scores} if pl_module.score else {})
            self._say(step, {name: float(values.median()) for name, values in known.items()})
        self._validations = len(validations)
        if (losses := losses_of(outputs)) is not None:
            self._say(trainer.global_step - 1, {"train_loss": float(losses.median())})

    def _say(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(step, {f"{self._prefix}{name}": value for name, value in values.items()})
