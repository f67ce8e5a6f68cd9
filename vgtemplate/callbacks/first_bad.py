"""Ends a training at its first value that is not finite, and looks at that step once more, every function watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from vgtemplate.callbacks.contracts import GivesLosses, losses_of
from vgtemplate.callbacks.replay import alone
from vgtemplate.doctor.hunt import Culprit, Hunt
from vgtemplate.lightning import pl
from vgtemplate.nn.noise import current_step
from vgtemplate.nn.replicate import Population


@dataclass(frozen=True)
class FirstBad:
    """The first value that was not finite.

    Args:
        step: in which it came up, counted from 0.
        batch: the number of the batch, counted over all epochs.
        replicas: of which it is.
        what: "the loss", "the gradient" or "the weights".
        culprit: None where no function was seen to put it out.
        is_same: whether the step came out the same when it was looked at once more.
    """

    step: int
    batch: int
    replicas: tuple[int, ...]
    what: str
    culprit: Culprit | None
    is_same: bool


class FoundError(BaseException):
    """Ends the training: `found` is what was looked for. No Exception, so that nobody takes it for a failure."""

    def __init__(self, found: FirstBad) -> None:
        super().__init__(found)
        self.found = found


class FirstBadFinder(pl.Callback):
    """Looks at every loss and every gradient; the weights still are what the step began with when one is not finite.

    Args:
        seeds: seeds what a module of one's own draws from, as before the batch; None: nothing has to be.

    Raises:
        FoundError: when there is one.
    """

    def __init__(self, seeds: pl.Callback | None = None) -> None:
        self._seeds = seeds
        self._batch: Any = None
        self._index = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch, self._index = batch, batch_idx

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        losses = getattr(pl_module, "newest_losses", loss.detach().reshape(1))
        if not bool(losses.isfinite().all()):
            bad = ~losses.isfinite()
            raise FoundError(self._look(trainer, pl_module, bad, "the loss"))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self._check(trainer, pl_module, "the gradient", [each.grad for each in pl_module.parameters()])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self._check(trainer, pl_module, "the weights", list(pl_module.parameters()))

    def _check(self, trainer: pl.Trainer, pl_module: pl.LightningModule, what: str, tensors: list[Any]) -> None:
        if what == "the gradient" and trainer.precision == "16-mixed":
            return  # a scaler looks for overflows itself, and leaves such a step out
        wrong = [~each.detach().isfinite() for each in tensors if each is not None]
        if not any(bool(each.any()) for each in wrong):
            return
        number = int(getattr(pl_module, "num_replicas", 1))
        bad = torch.zeros(number, dtype=torch.bool)
        for each in wrong:
            bad |= (each.flatten(1).any(1) if number > 1 and each.dim() > 1 else each.any().expand(number)).cpu()
        raise FoundError(self._look(trainer, pl_module, bad, what))

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule, bad: Tensor, what: str) -> FirstBad:
        replicas = tuple(bad.nonzero().flatten().tolist())
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total
        step = trainer.global_step - (what == "the weights")
        batch = int(progress.processed)
        if what == "the weights":
            # The step is done: what it began with is gone.
            return FirstBad(step, batch - 1, replicas, what, None, True)
        size, replica = (None, None)
        if hasattr(pl_module, "replica_losses"):
            size, replica = self._batch[1].shape[1], replicas[0]
        hunt = Hunt(size, replica)
        try:
            with alone(pl_module, current_step(pl_module)), hunt:
                loss = self._again(trainer, pl_module, bad)
                is_same = bool(loss.isfinite()) == (what != "the loss")
                if what == "the gradient":
                    hunt.watch_backward(loss)
                    loss.backward()
        finally:
            hunt.close()
        culprit = hunt.forward if what == "the loss" else hunt.backward or hunt.forward
        return FirstBad(step, batch, replicas, what, culprit, is_same)

    def _again(self, trainer: pl.Trainer, pl_module: pl.LightningModule, bad: Tensor) -> Tensor:
        """Return the loss of the step at hand once more, of a population that of the replicas that went wrong."""
        with trainer.precision_plugin.train_step_context():
            if hasattr(pl_module, "replica_losses"):
                if isinstance(model := getattr(pl_module, "model", None), Population):
                    # Within vmap no sample can be told from another.
                    model.vectorise = False
                each: Tensor = cast(GivesLosses, pl_module).replica_losses(self._batch)
                return each[bad.to(each.device)].sum()
            if self._seeds is not None:
                self._seeds.on_train_batch_start(trainer, pl_module, self._batch, self._index)
            output = pl_module.training_step(self._batch, self._index)
            losses = losses_of(output)
            assert losses is not None
            return losses.sum()
