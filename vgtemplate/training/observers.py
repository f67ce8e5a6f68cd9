"""The callbacks that watch a run, as its configuration asks, and the series that they leave."""

from __future__ import annotations

from typing import Any

import numpy as np

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.best import BestKeeper
from vgtemplate.callbacks.curves import CurveRecorder
from vgtemplate.callbacks.dead_units import DeadUnitProbe
from vgtemplate.callbacks.divergence import DivergenceRecorder
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.gradient_change import GradientChangeProbe
from vgtemplate.callbacks.growth import GrowthRecorder
from vgtemplate.callbacks.live import LiveCurves, Tell
from vgtemplate.callbacks.probe import Probe
from vgtemplate.callbacks.progress import ProgressBar
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.shift import ShiftProbe
from vgtemplate.callbacks.stopping import StopAtAccuracy, StopAtLoss
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.callbacks.zero_gradients import ZeroGradientProbe
from vgtemplate.config.schema import LARGEST_IS_BEST, ArmConfig, ProbeConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.lightning import pl
from vgtemplate.training.module import PopulationModule


class Observers:
    """The callbacks of one run, in their order.

    Args:
        progress: the title of the progress bar; None: no bar.
        tell: takes the curves' newest values while they grow; None: nobody listens.
    """

    def __init__(
        self, config: ArmConfig, data: PopulationData, progress: str | None = None, tell: Tell | None = None
    ) -> None:
        self.recorder = Recorder(config.probes.every or None)
        self._curves = CurveRecorder()
        self._divergence = DivergenceRecorder()
        self._stop: StopAtAccuracy | None = None
        self.callbacks: list[pl.Callback] = [*self._probes(config.probes), self._curves, self._divergence]
        if config.training.validate_every is not None:
            self.callbacks.append(BestKeeper(by_score=config.training.score_name in LARGEST_IS_BEST))
        if config.training.stop_loss is not None:
            self.callbacks.append(StopAtLoss(config.training.stop_loss))
        if config.training.stop_accuracy is not None:
            self._stop = StopAtAccuracy(config.training.stop_accuracy, data.ordered_train_dataloader())
            self.callbacks.append(self._stop)
        self._dead_units = DeadUnitProbe()
        self._measured: list[GrowthRecorder | ZeroGradientProbe] = []
        if config.probes.every != 0:
            self._measured = self._whole_run_probes(config.probes, data)
            self.callbacks += [self._dead_units, *self._measured]
        if progress is not None:
            self.callbacks.append(ProgressBar(progress))
        if tell is not None:
            self.callbacks.append(LiveCurves(tell))

    def _probes(self, config: ProbeConfig) -> list[pl.Callback]:
        if config.every == 0:
            return []
        kinds: list[type[Probe]] = [GradientProbe, ActivationProbe, WeightProbe]
        if config.shift:
            kinds.append(ShiftProbe)
        if config.gradient_change:
            kinds.append(GradientChangeProbe)
        return [*(kind(recorder=self.recorder) for kind in kinds), self.recorder]

    @staticmethod
    def _whole_run_probes(config: ProbeConfig, data: PopulationData) -> list[GrowthRecorder | ZeroGradientProbe]:
        """Return what keeps its series itself: of every step, or of the first and the last state."""
        found: list[GrowthRecorder | ZeroGradientProbe] = [GrowthRecorder()] if config.growth else []
        if config.zero_gradients:
            found.append(ZeroGradientProbe(data.test_dataloader(), config.num_images))
        return found

    def series(self, trainer: pl.Trainer, module: PopulationModule) -> dict[str, Any]:
        """Return everything measured while training, by the names of the record."""
        series = {**self.recorder.series(), **self._curves.series(trainer, module.score), **self._divergence.series()}
        for measured in (self._dead_units, *self._measured):
            series |= measured.series()
        if self.recorder.steps:
            series["probe_steps"] = np.array(self.recorder.steps)
        if self._stop is not None:
            series |= self._stop.series()
        return series
