"""A training of the test's own process that ends in the middle; its checkpoint stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vgtemplate.callbacks.checkpointer import Checkpointer


class OverError(Exception):
    """Ends a training."""


def break_off(step: int, train: Callable[[], object]) -> None:
    """Train, and end before a step, when the checkpoint of it has been written."""
    original = Checkpointer.on_train_batch_start

    def end(self: Any, trainer: Any, *others: Any) -> None:
        original(self, trainer, *others)
        if trainer.global_step == step:
            raise OverError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "on_train_batch_start", end)
        with pytest.raises(OverError):
            train()
