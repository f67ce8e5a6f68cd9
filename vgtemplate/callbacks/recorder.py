"""Keeps what the probes measure: device tensors during a step, one host transfer at its end, arrays afterwards."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor

MAX_PROBES = 50
"""Number of probed steps where no cadence is given."""


def to_host(tensor: Tensor) -> npt.NDArray[np.float64]:
    """Move one tensor to the host: the only place where a probe waits for the device."""
    host: npt.NDArray[np.float64] = tensor.cpu().numpy()
    return host


def log_medians(
    trainer: pl.Trainer, layers: Sequence[str], found: Mapping[str, npt.NDArray[np.float64]], step: int
) -> None:
    """Hand the median over the replicas of each layer's values, (R, L), to the loggers, under LAYER/SERIES."""
    if trainer.loggers:
        medians = {
            f"{layer}/{name}": float(median)
            for name, values in found.items()
            for layer, median in zip(layers, np.median(values, axis=0), strict=True)
        }
        for logger in trainer.loggers:
            logger.log_metrics(medians, step)


class Recorder(pl.Callback):
    """Collects the probes' (R, L) tensors and moves each probed step's as one.

    Args:
        every: probe each so many steps, from 1, step 0 and the last always; None: MAX_PROBES probes per run.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(self, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"a probe needs a cadence of at least 1 step, not {every}")
        self.every = every
        self.steps: list[int] = []
        self.layers: list[str] = []
        self._step = 0
        self._pending: dict[str, Tensor] = {}
        self._rows: dict[str, list[npt.NDArray[np.float64]]] = {}

    def state_dict(self) -> dict[str, Any]:
        rows = {name: torch.from_numpy(np.stack(rows)) for name, rows in self._rows.items()}
        return {"steps": list(self.steps), "rows": rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = list(state_dict["steps"])
        self._rows = {name: list(rows.numpy()) for name, rows in state_dict["rows"].items()}

    def is_probed(self, trainer: pl.Trainer) -> bool:
        """Say whether the step that begins now (`trainer.global_step`) is probed."""
        self._step = trainer.global_step
        total = int(min(trainer.estimated_stepping_batches, 2**62))
        every = self.every if self.every is not None else max(1, math.ceil(total / (MAX_PROBES - 1)))
        return trainer.global_step % every == 0 or trainer.global_step == total - 1

    def add(self, name: str, values: list[Tensor]) -> None:
        """Keep one (R,) tensor per layer under `name` until the step ends."""
        if values:
            self._pending[name] = torch.stack(values, dim=1)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if self._pending:
            self.flush(trainer)

    def flush(self, trainer: pl.Trainer) -> None:
        """Move everything measured in the step that has just ended, and hand it to the trainer's loggers."""
        pending, self._pending = self._pending, {}
        if not pending:  # no layer gave any of the series: nothing is known of this step, and the training goes on
            return
        host = to_host(torch.cat([tensor.flatten() for tensor in pending.values()]))
        self.steps.append(self._step)
        start = 0
        for name, tensor in pending.items():
            values = host[start : start + tensor.numel()].reshape(tensor.shape)
            self._rows.setdefault(name, []).append(values)
            start += tensor.numel()
        log_medians(trainer, self.layers, {name: self._rows[name][-1] for name in pending}, self._step)

    def series(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return every measured series, (R, S, L), with S probe steps in the order of `steps`.

        Warns of a series that some probed step lacks (as of a layer that was frozen in between), and leaves it out.
        """
        complete = {name: rows for name, rows in self._rows.items() if len(rows) == len(self.steps)}
        for name in self._rows.keys() - complete.keys():
            warnings.warn(f"{name} was not measured at each probed step and is left out", stacklevel=2)
        return {name: np.stack(rows, axis=1) for name, rows in complete.items()}
