"""From an arm to its record: builds the network and the data, trains, tests, gathers what was measured."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from vgtemplate.callbacks.activation import ActivationProbe
from vgtemplate.callbacks.curves import CurveRecorder
from vgtemplate.callbacks.gradient import GradientProbe
from vgtemplate.callbacks.gradient_change import GradientChangeProbe
from vgtemplate.callbacks.probe import Probe
from vgtemplate.callbacks.progress import ProgressBar
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.shift import ShiftProbe
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.errors import UserError
from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import MOST, ArmConfig, ProbeConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.build import build_model
from vgtemplate.nn.mlp import MLP
from vgtemplate.records import Record
from vgtemplate.training.denoising import DenoisingModule
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.pretraining import pretrain
from vgtemplate.training.stopping import StopAtAccuracy, StopAtLoss


@dataclass(frozen=True)
class Hardware:
    """Where to train: Lightning's names, and the number of processor threads (None: torch's choice)."""

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    threads: int | None = None


def _quiet_lightning() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # The loader is no DataLoader: data are in memory, so advice about worker processes does not apply.
    warnings.filterwarnings("ignore", module="pytorch_lightning")


def _accelerator(name: str) -> str:
    """Return Lightning's name; Apple's GPU has no float64, which the probes sum in, so it is never chosen."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if name == "gpu" else name


def _build_trainer(
    config: ArmConfig, hardware: Hardware, callbacks: list[pl.Callback], steps: int | None = None
) -> pl.Trainer:
    """Return a trainer as the configuration asks; one of so many steps, without validation, where `steps` is given."""
    validate_every = None if steps else config.training.validate_every
    length: dict[str, Any] = (
        {"max_epochs": config.training.epochs}
        if config.training.epochs is not None and not steps
        else {"max_steps": steps or config.training.steps, "max_epochs": -1}
    )
    # Without a cadence the validation images are looked at once, after the last step (_evaluate).
    validation: dict[str, Any] = {"val_check_interval": validate_every or MOST, "check_val_every_n_epoch": None}
    try:
        return pl.Trainer(
            accelerator=_accelerator(hardware.accelerator),
            devices=hardware.devices,
            strategy=hardware.strategy,
            precision=config.training.precision,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **length,
            **validation,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise UserError(f"the trainer cannot be set up: {' '.join(str(error).split())}") from None


class _Observers:
    """The callbacks of one run, and the series that they leave."""

    def __init__(self, config: ArmConfig, data: PopulationData, progress: str | None) -> None:
        self._recorder = Recorder(config.probes.every or None)
        self._curves = CurveRecorder()
        self._stop: StopAtAccuracy | None = None
        self.callbacks: list[pl.Callback] = [*self._probes(config.probes), self._curves]
        if config.training.stop_loss is not None:
            self.callbacks.append(StopAtLoss(config.training.stop_loss))
        if config.training.stop_accuracy is not None:
            self._stop = StopAtAccuracy(config.training.stop_accuracy, data.ordered_train_dataloader())
            self.callbacks.append(self._stop)
        if progress is not None:
            self.callbacks.append(ProgressBar(progress))

    def _probes(self, config: ProbeConfig) -> list[pl.Callback]:
        if config.every == 0:
            return []
        kinds: list[type[Probe]] = [GradientProbe, ActivationProbe, WeightProbe]
        if config.shift:
            kinds.append(ShiftProbe)
        if config.gradient_change:
            kinds.append(GradientChangeProbe)
        return [*(kind(recorder=self._recorder) for kind in kinds), self._recorder]

    @property
    def layers(self) -> list[str]:
        """Names of the probed layers."""
        return self._recorder.layers

    def series(self, trainer: pl.Trainer, module: PopulationModule) -> dict[str, Any]:
        """Return everything measured while training, by the names of the record."""
        series = {**self._recorder.series(), **self._curves.series(trainer, module.score)}
        if self._recorder.steps:
            series["probe_steps"] = np.array(self._recorder.steps)
        if self._stop is not None:
            series |= self._stop.series()
        return series


def _validation_series(module: PopulationModule) -> dict[str, Any]:
    if not module.validations:
        return {}
    steps, losses, scores = zip(*module.validations, strict=True)
    return {
        "validation_steps": np.array(steps),
        "validation_loss": torch.stack(losses, dim=1).cpu().numpy(),
        f"validation_{module.score}": torch.stack(scores, dim=1).cpu().numpy(),
    }


def _build_module(config: ArmConfig, data: PopulationData, seeds: Sequence[int]) -> PopulationModule:
    model = build_model(config.model, data.input_shape, data.num_classes, seeds)
    probe_images = data.probe_images() if config.probes.every != 0 else None
    if config.model.output == "image":
        return DenoisingModule(model, config, seeds, probe_images)
    return PopulationModule(model, config, len(seeds), probe_images)


def _pretrain(
    module: PopulationModule, config: ArmConfig, data: PopulationData, seeds: Sequence[int], hardware: Hardware
) -> dict[str, Any]:
    if config.pretraining.kind == "none":
        return {}

    def build_trainer(steps: int, callbacks: list[pl.Callback]) -> pl.Trainer:
        return _build_trainer(config, hardware, callbacks, steps)

    assert isinstance(module.model, MLP)
    return pretrain(module.model, config, data, seeds, build_trainer)


def _evaluate(trainer: pl.Trainer, module: PopulationModule, data: PopulationData) -> dict[str, Any]:
    """Return how the trained population does on held-out and test images and, if asked for, on the training images."""
    series: dict[str, Any] = {}
    validated = [step for step, _, _ in module.validations]
    if module.config.data.num_validation and trainer.global_step not in validated:
        trainer.validate(module, datamodule=data, verbose=False)
    series |= _validation_series(module)
    if module.config.training.evaluate:
        trainer.test(module, datamodule=data, verbose=False)
        series["test_loss"] = module.test_losses.cpu().numpy()
        series[f"test_{module.score}"] = module.test_scores.cpu().numpy()
    if module.config.training.evaluate_train:
        series["final_train_accuracy"] = module.score_over(data.ordered_train_dataloader()).cpu().numpy()
    return series


def train_arm(
    name: str,
    config: ArmConfig,
    seeds: Sequence[int],
    root: Path,
    hardware: Hardware = Hardware(),
    progress: bool = False,
) -> tuple[Record, PopulationModule]:
    """Train one arm, a replica a seed, and return its record and the trained population.

    Args:
        name: the arm's name.
        config: the whole configuration; `data.dataset` is a data set, not auto.
        seeds: one a replica.
        root: the folder of the data sets.
        hardware: where to train.
        progress: show a progress bar.

    Raises:
        UserError: the data cannot be had, or the hardware does not fit.
    """
    _quiet_lightning()
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    started = time.perf_counter()
    data = PopulationData(config.data, seeds, root, config.probes.num_images)
    data.setup("fit")
    module = _build_module(config, data, seeds)
    observers = _Observers(config, data, name if progress else None)
    trainer = _build_trainer(config, hardware, observers.callbacks)
    series = _pretrain(module, config, data, seeds, hardware)
    trainer.fit(module, datamodule=data)
    series |= observers.series(trainer, module) | _evaluate(trainer, module, data)
    configuration = config.model_dump(mode="json")
    record = Record(
        key=arm_key(configuration, seeds, data.info["fingerprint"]),
        name=name,
        configuration=configuration,
        seeds=tuple(seeds),
        dataset=data.info,
        environment=describe_environment(trainer.strategy.root_device),
        wall_seconds=time.perf_counter() - started,
        series=series,
        labels={"layer": observers.layers},
    )
    return record, module
