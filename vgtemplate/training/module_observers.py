"""The callbacks that watch a LightningModule of one's own, and the series that they leave; one network, so R = 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.live import LiveCurves
from vgtemplate.callbacks.own_module import LossRecorder, StepSeeds, ValidationRecorder
from vgtemplate.callbacks.probe import Probe
from vgtemplate.callbacks.progress import ProgressBar
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.stopping import StopAtLoss
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.schema import ArmConfig
from vgtemplate.lightning import pl

_PROBES: tuple[type[Probe], ...] = (GradientProbe, ActivationProbe, WeightProbe)


class ModuleObservers:
    """The callbacks of one run, in their order.

    Args:
        seed: seeds all that the module draws from, from what a batch is for and its number.
        progress: the title of the progress bar; None: no bar.
        live: tells the curves while they grow; None: nobody listens.
    """

    def __init__(
        self, config: ArmConfig, seed: Callable[[int, int], None], progress: str | None, live: LiveCurves | None
    ) -> None:
        self.recorder = Recorder(config.probes.every or None)
        self.losses, self.validations = LossRecorder(), ValidationRecorder()
        self.callbacks: list[pl.Callback] = [StepSeeds(seed)]
        if config.probes.every != 0:
            self.callbacks += [*(kind(recorder=self.recorder) for kind in _PROBES), self.recorder]
        self.callbacks += [self.losses, self.validations]
        if config.training.stop_loss is not None:
            self.callbacks.append(StopAtLoss(config.training.stop_loss))
        if progress is not None:
            self.callbacks.append(ProgressBar(progress))
        if live is not None:
            self.callbacks.append(live)

    def series(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Return everything measured while training, by the names of the record."""
        series: dict[str, Any] = {**self.recorder.series(), **self.losses.series(trainer)}
        series["diverged_layer"] = np.minimum(series["diverged_at"], 0)  # 0: in a layer that is not known
        if self.recorder.steps:
            series["probe_steps"] = np.array(self.recorder.steps)
        return series
