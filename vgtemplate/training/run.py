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
from vgtemplate.callbacks.progress import ProgressBar
from vgtemplate.callbacks.recorder import Recorder
from vgtemplate.callbacks.weight import WeightProbe
from vgtemplate.config.errors import UserError
from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.build import build_model
from vgtemplate.records import Record
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.module import PopulationModule


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


def _build_trainer(config: ArmConfig, hardware: Hardware, callbacks: list[pl.Callback]) -> pl.Trainer:
    validate_every = config.training.validate_every
    length: dict[str, Any] = (
        {"max_epochs": config.training.epochs}
        if config.training.epochs is not None
        else {"max_steps": config.training.steps, "max_epochs": -1}
    )
    validation: dict[str, Any] = (
        {"limit_val_batches": 0}
        if validate_every is None
        else {"val_check_interval": validate_every, "check_val_every_n_epoch": None}
    )
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


def _build_callbacks(config: ArmConfig, progress: str | None) -> tuple[Recorder, CurveRecorder, list[pl.Callback]]:
    recorder, curves = Recorder(config.probes.every or None), CurveRecorder()
    probes: list[pl.Callback] = []
    if config.probes.every != 0:
        probes = [
            GradientProbe(recorder=recorder),
            ActivationProbe(recorder=recorder),
            WeightProbe(recorder=recorder),
            recorder,
        ]
    return recorder, curves, [*probes, curves, *([ProgressBar(progress)] if progress else [])]


def _validation_series(module: PopulationModule) -> dict[str, Any]:
    if not module.validations:
        return {}
    steps, losses, accuracies = zip(*module.validations, strict=True)
    return {
        "validation_steps": np.array(steps),
        "validation_loss": torch.stack(losses, dim=1).cpu().numpy(),
        "validation_accuracy": torch.stack(accuracies, dim=1).cpu().numpy(),
    }


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
    model = build_model(config.model, data.input_shape, data.num_classes, seeds)
    probe_images = data.probe_images() if config.probes.every != 0 else None
    module = PopulationModule(model, config, len(seeds), probe_images)
    recorder, curves, callbacks = _build_callbacks(config, name if progress else None)
    trainer = _build_trainer(config, hardware, callbacks)
    trainer.fit(module, datamodule=data)
    series: dict[str, Any] = {**recorder.series(), **curves.series(trainer), **_validation_series(module)}
    if recorder.steps:
        series["probe_steps"] = np.array(recorder.steps)
    if config.training.evaluate:
        trainer.test(module, datamodule=data, verbose=False)
        series["test_loss"] = module.test_losses.cpu().numpy()
        series["test_accuracy"] = module.test_accuracies.cpu().numpy()
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
        labels={"layer": recorder.layers},
    )
    return record, module
