"""Keeps what the probes measure: device tensors during a step, one host transfer at its end, arrays afterwards."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vgtemplate.callbacks.loggers import log_profile, log_values
from vgtemplate.lightning import pl
from vgtemplate.watching.measurements import Measurements
from vgtemplate.watching.optimisers import OptimiserHooks
from vgtemplate.watching.watcher import Watcher

MAX_PROBES = 50
"""Number of probed steps where no cadence is given."""


def to_host(tensor: Tensor) -> npt.NDArray[np.float64]:
    """Move one tensor to the host: the only place where a probe waits for the device."""
    host: npt.NDArray[np.float64] = tensor.cpu().numpy()
    return host


class Recorder(pl.Callback):
    """Collects what the probes measure, and moves each probed step's to the host at once.

    The probes of a population of vgtemplate.nn hand it their (R, L) tensors. In any other network a watcher looks at
    what they ask for (`watch`).

    Args:
        every: probe each so many steps, from 1, step 0 and the last always; None: MAX_PROBES probes per run.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(self, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"a probe needs a cadence of at least 1 step, not {every}")
        self.every = every
        self.hidden: list[str] = []
        self.measurements = Measurements()
        self.watcher: Watcher | None = None
        self._initial: dict[str, Tensor] = {}
        self._hooks: OptimiserHooks | None = None
        self._step = 0
        self._pending: dict[str, Tensor] = {}
        self._said = 0

    @property
    def steps(self) -> list[int]:
        """The probed steps."""
        return self.measurements.steps

    @property
    def layers(self) -> list[str]:
        """The layers' names."""
        return self.measurements.layers or self.hidden

    def state_dict(self) -> dict[str, Any]:
        return {"measurements": self.measurements.state_dict(), "initial": self._initial}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.measurements.load_state_dict(state_dict["measurements"])
        self._initial.update(state_dict["initial"])

    def watch(self, pl_module: Any, looks: Iterable[str]) -> None:
        """Look at an ordinary network: at "gradients", "signals" or "weights"; called again, at these as well."""
        if self.watcher is None or self.watcher.model is not pl_module:
            self.watcher = Watcher(pl_module, self.measurements, (), self._initial)
            self._hooks = OptimiserHooks(self.watcher)
        self.watcher.looks |= set(looks)

    def is_probed(self, trainer: pl.Trainer) -> bool:
        """Say whether the step that begins now (`trainer.global_step`) is probed."""
        self._step = trainer.global_step
        total = int(min(trainer.estimated_stepping_batches, 2**62))
        every = self.every if self.every is not None else max(1, math.ceil(total / (MAX_PROBES - 1)))
        # By hand-made optimisation a batch may count several steps, so that a multiple of `every` can be passed over.
        is_due = not self.steps or trainer.global_step // every > self.steps[-1] // every
        return is_due or trainer.global_step == total - 1

    def add(self, name: str, values: list[Tensor] | Tensor) -> None:
        """Keep one (R,) tensor per hidden layer of a population, or all as (R, L), under `name` until the step ends."""
        if len(values):
            self._pending[name] = values if isinstance(values, Tensor) else torch.stack(values, dim=1)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        watcher, hooks = self.watcher, self._hooks
        if watcher is None or hooks is None:
            return
        if not watcher.is_looking and watcher.guard(self.is_probed, trainer):
            watcher.accumulated = int(getattr(trainer, "accumulate_grad_batches", 1))
            watcher.begin(trainer.optimizers)
            watcher.guard(hooks.set)
        if watcher.is_looking:
            watcher.enter()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        # Where the module optimises by itself, nobody calls this before it clips.
        if self.watcher is not None and self.watcher.is_looking and pl_module.automatic_optimization:
            self.watcher.before_clip(optimizer, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if self.watcher is None:
            if self._pending:
                self.flush(trainer)
        elif self.watcher.is_looking:
            self.watcher.leave()
            if trainer.global_step > self._step:
                self._stop_looking()
                newest = self.watcher.end(self._step)
                log_values(trainer, newest, self._step)

    def _stop_looking(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()

    def flush(self, trainer: pl.Trainer) -> None:
        """Move everything measured in the step that has just ended, and hand it to the trainer's loggers."""
        pending, self._pending = self._pending, {}
        if not pending:  # no layer gave any of the series: nothing is known of this step, and the training goes on
            return
        host = to_host(torch.cat([tensor.flatten() for tensor in pending.values()]))
        start = 0
        newest: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
        for name, tensor in pending.items():
            values = host[start : start + tensor.numel()].reshape(tensor.shape)
            self.measurements.keep(self._step, name, self.hidden, values)
            newest[name] = dict(zip(self.hidden, values.T, strict=True))
            start += tensor.numel()
        log_values(trainer, newest, self._step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.conclude(trainer)

    def conclude(self, trainer: pl.Trainer) -> None:
        """At the end of the training: a picture for the loggers, and what could not be seen."""
        log_profile(trainer, self.layers, self.series(), self.steps)
        if trainer.is_global_zero:
            # The logger of whichever Lightning is training, which people see.
            speaker = logging.getLogger(type(trainer).__module__.partition(".trainer")[0])
            for note in self.measurements.notes[self._said :]:
                speaker.info("vgtemplate: %s", note)
        self._said = len(self.measurements.notes)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop_looking()
        if self.watcher is not None:
            self.watcher.drop()

    def series(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return every series, (R, S, L), with S probe steps in the order of `steps`; NaN where there is no value."""
        return self.measurements.series()
