"""What a LightningModule of one's own needs to be trained as a population is: seeded steps, its losses, its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.callbacks.contracts import losses_of
from vgtemplate.lightning import pl

TRAINING, VALIDATION, TEST = range(3)


class StepSeeds(pl.Callback):
    """Seeds, before each batch, what a module draws from: its random numbers depend on the batch's number alone.

    So a run that is taken up anywhere draws what it would have drawn, and an evaluation in between changes nothing.

    Args:
        seed: seeds all global generators, from what the batch is for and its number.
    """

    def __init__(self, seed: Callable[[int, int], None]) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
        self._seed(TRAINING, int(total.processed))

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._seed(VALIDATION, batch_idx)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._seed(TEST, batch_idx)


class LossRecorder(pl.Callback):
    """Keeps the loss that each training step returns on the device, and moves them once, at the end."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._given: list[bool] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: object) -> None:
        losses = losses_of(outputs)
        self._given.append(losses is not None)
        if losses is None:
            losses = torch.full((1,), torch.nan, device=pl_module.device)
        elif pl_module.automatic_optimization:
            # Lightning has divided it by the number of batches that make a step.
            losses = losses * trainer.accumulate_grad_batches
        self._losses.append(losses.detach().mean().double())

    def _stacked(self) -> Tensor:
        return torch.stack(self._losses) if self._losses else torch.empty(0, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self._stacked(), "given": list(self._given)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._losses, self._given = list(state_dict["losses"].unbind()), state_dict["given"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._losses = [loss.to(pl_module.device) for loss in self._losses]

    def series(self, trainer: pl.Trainer) -> dict[str, npt.NDArray[Any]]:
        """Return train_loss (1, T), NaN where a step returned none, averaged over processes, and diverged_at (1,)."""
        reduced = trainer.strategy.reduce(self._stacked().to(trainer.strategy.root_device), reduce_op="mean")
        losses = reduced.cpu().numpy()
        bad = ~np.isfinite(losses) & np.array(self._given, dtype=bool)
        diverged_at = int(bad.argmax()) if bad.any() else -1
        return {"train_loss": losses[None], "diverged_at": np.array([diverged_at])}


class ValidationRecorder(pl.Callback):
    """Keeps what a module logs in each validation while it trains: names that begin with "val"."""

    def __init__(self) -> None:
        self.found: list[tuple[int, dict[str, float]]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            logged: Mapping[str, Tensor] = trainer.callback_metrics
            values = {name: float(value) for name, value in logged.items() if name.startswith("val")}
            self.found.append((trainer.global_step, values))

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.found = state_dict["found"]
