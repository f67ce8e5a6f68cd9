"""From an arm to its record: builds the network and the data, trains, tests, gathers what was measured."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.module import PopulationData
from vgtemplate.nn.build import build_model
from vgtemplate.nn.mlp import MLP
from vgtemplate.records import Record
from vgtemplate.training.checkpoint import Checkpoints
from vgtemplate.training.denoising import DenoisingModule
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.memory import keep_freed_memory
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.observers import Observers
from vgtemplate.training.pretraining import pretrain
from vgtemplate.training.trainer import Fitting, Hardware, quiet_lightning


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
    if config.training.precision == "64-true":
        # Before a checkpoint is read into it, which the trainer does before it converts.
        model = model.double()
    probe_images = data.probe_images() if config.probes.every != 0 else None
    if config.model.output == "image":
        return DenoisingModule(model, config, seeds, probe_images)
    return PopulationModule(model, config, len(seeds), probe_images)


def _pretrain(
    module: PopulationModule, config: ArmConfig, data: PopulationData, seeds: Sequence[int], fitting: Fitting
) -> dict[str, Any]:
    if config.pretraining.kind == "none":
        return {}

    def fit(machine: pl.LightningModule, steps: int, stage: str) -> None:
        fitting.fit(machine, [], stage, steps)

    assert isinstance(module.model, MLP)
    return pretrain(module.model, config, data, seeds, fit)


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


def weights_digest(module: pl.LightningModule) -> str:
    """Return the sha256 of a module's parameters and running statistics, by which two runs are compared bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + b"\0" + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train_arm(
    name: str,
    config: ArmConfig,
    seeds: Sequence[int],
    root: Path,
    hardware: Hardware | None = None,
    progress: bool = False,
    checkpoints: Checkpoints | None = None,
) -> tuple[Record, PopulationModule]:
    """Train one arm, a replica a seed, and return its record and the trained population.

    Args:
        name: the arm's name.
        config: the whole configuration; `data.dataset` is a data set, not auto.
        seeds: one a replica.
        root: the folder of the data sets.
        hardware: where to train; None: as Lightning finds best.
        progress: show a progress bar.
        checkpoints: where to save the run while it trains, and to go on from; None: nowhere.

    Raises:
        UserError: the data cannot be had, or the hardware does not fit.
        Stopped: SIGTERM or SIGINT asked for it, and there is a checkpoint of all that was done.
    """
    quiet_lightning()
    keep_freed_memory()
    hardware = hardware or Hardware()
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    started = time.perf_counter()
    data = PopulationData(config.data, seeds, root, config.probes.num_images)
    data.setup("fit")
    module = _build_module(config, data, seeds)
    observers = Observers(config, data, name if progress else None)
    fitting = Fitting(config, data, hardware, checkpoints)
    series = _pretrain(module, config, data, seeds, fitting)
    trainer = fitting.fit(module, observers.callbacks, "training")
    series |= observers.series(trainer, module) | _evaluate(trainer, module, data)
    configuration = config.model_dump(mode="json")
    record = Record(
        key=arm_key(configuration, seeds, data.info["fingerprint"]),
        name=name,
        configuration=configuration,
        seeds=tuple(seeds),
        dataset=data.info,
        environment=describe_environment(trainer.strategy.root_device) | fitting.interruptions,
        wall_seconds=time.perf_counter() - started + fitting.earlier_seconds,
        series=series,
        labels={"layer": observers.layers},
        weights_sha256=weights_digest(module),
    )
    return record, module
