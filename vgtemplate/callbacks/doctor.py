"""The doctor as a callback of either Lightning: `Trainer(callbacks=[Doctor()])`."""

from __future__ import annotations

import logging
from typing import Any

from vgtemplate.doctor.examine import examine
from vgtemplate.doctor.loop import STEPS, is_due
from vgtemplate.doctor.observer import Observer
from vgtemplate.doctor.report import Report
from vgtemplate.lightning import pl
from vgtemplate.tracking.doctor import note_in_active_run, note_in_run
from vgtemplate.watching.optimisers import OptimiserHooks


class Doctor(pl.Callback):
    """Watches a training and says what is wrong with the network; the training is the same with it as without.

    `report` is complete once the training, or the watching, has ended.

    Args:
        steps: how many optimiser steps are watched over, from the first.
    """

    def __init__(self, steps: int = STEPS) -> None:
        if steps < 1:
            raise ValueError(f"steps: {steps} is no number of steps; allowed: 1 and more")
        self.steps = steps
        self.report = Report()
        self._observer: Observer | None = None
        self._hooks: OptimiserHooks | None = None
        self._first = self._begun = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._observer, self._first = Observer(pl_module), trainer.global_step
        self._hooks = OptimiserHooks(self._observer)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        observer, hooks = self._observer, self._hooks
        if observer is None or hooks is None:
            return
        number = trainer.global_step - self._first
        if number >= self.steps:
            self._conclude(trainer)
            return
        if not observer.is_looking and (due := is_due(number)):
            self._begun = trainer.global_step
            observer.accumulated = int(getattr(trainer, "accumulate_grad_batches", 1))
            observer.begin(trainer.optimizers, briefly=due == "briefly")
            observer.guard(hooks.set)
        if observer.is_looking:
            observer.enter()

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        if self._observer is not None:
            self._observer.before_backward(loss)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        observer = self._observer
        if observer is not None and observer.is_looking and pl_module.automatic_optimization:
            observer.before_clip(optimizer, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        observer = self._observer
        if observer is not None and observer.is_looking:
            observer.leave()
            if trainer.global_step > self._begun:
                observer.end(self._begun - self._first)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._conclude(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._conclude(trainer)

    def _conclude(self, trainer: pl.Trainer) -> None:
        observer, self._observer = self._observer, None
        if observer is None:
            return
        if self._hooks is not None:
            self._hooks.remove()
        evidence = observer.conclude()
        self.report.take(evidence, *examine(evidence))
        if trainer.is_global_zero:
            _note_in_mlflow(trainer, self.report)
            speaker = logging.getLogger(type(trainer).__module__.partition(".trainer")[0])
            for line in str(self.report).splitlines():
                speaker.info("vgtemplate: %s", line)


def _note_in_mlflow(trainer: pl.Trainer, report: Report) -> None:
    """Note it in the run of the training's logger of MLflow, else in the one that the script has begun."""
    said = report.is_healthy, report.codes, report.to_html()
    loggers: list[Any] = [each for each in trainer.loggers if type(each).__name__ == "MLFlowLogger"]
    failures = [note_in_run(each.experiment, str(each.run_id), *said) for each in loggers]
    report.notes += filter(None, failures or [note_in_active_run(*said)])
