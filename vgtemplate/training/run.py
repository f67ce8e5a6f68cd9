"""From an arm to its record: builds the network and the data, trains, tests, gathers what was measured."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vgtemplate.callbacks.layers import mixing_layers
from vgtemplate.callbacks.live import Tell
from vgtemplate.config.errors import UserError
from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.lengths import long_enough
from vgtemplate.data.module import PopulationData
from vgtemplate.data.theirs import build_data
from vgtemplate.lightning import pl
from vgtemplate.nn.build import build_model
from vgtemplate.nn.mlp import MLP
from vgtemplate.nn.replicate import Population
from vgtemplate.records import Record
from vgtemplate.training.denoising import DenoisingModule
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.foresight import require_memory
from vgtemplate.training.memory import give_memory_back, keep_freed_memory
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.observers import Observers
from vgtemplate.training.own_module import train_modules
from vgtemplate.training.pretraining import pretrain
from vgtemplate.training.removal import scores_without_layers
from vgtemplate.training.split import Trained, train_what_fits
from vgtemplate.training.trainer import (
    Checkpoints,
    Fitting,
    Hardware,
    from_checkpoints,
    quiet_lightning,
    trained_on,
)
from vgtemplate.training.usage import Usage


def build_population(
    config: ArmConfig, dataset: Mapping[str, Any], seeds: Sequence[int], probe_images: Tensor | None = None
) -> PopulationModule:
    """Return an untrained population, one replica per seed."""
    num_outputs = dataset.get("num_outputs", len(dataset["classes"]))
    if config.built_in is not None and not (num_outputs and dataset["input_shape"]):
        raise UserError(
            f"model: a built-in network needs inputs (number, ...) and as many classes or targets as the data say; "
            f"{dataset['name']} does not say it (a Dataset or LightningDataModule does by `classes` or `num_classes`)"
        )
    model = build_model(config.model, dataset["input_shape"], num_outputs, seeds)
    if config.training.precision == "64-true":
        # Before a checkpoint is read into it, which the trainer does before it converts.
        model.double()
    if config.outputs_image:
        return DenoisingModule(model, config, seeds, probe_images)
    return PopulationModule(model, config, len(seeds), probe_images)


def _evaluate(trainer: pl.Trainer, module: PopulationModule, data: PopulationData) -> dict[str, Any]:
    """Return how the trained population does on held-out and test images and, if asked for, on the training images."""
    series: dict[str, Any] = {}
    validated = [step for step, _, _ in module.validations]
    if data.info["num_validation"] and trainer.global_step not in validated:
        trainer.validate(module, datamodule=data, verbose=False)
    if module.validations:
        steps, losses, scores = zip(*module.validations, strict=True)
        series["validation_steps"] = np.array(steps)
        series["validation_loss"] = torch.stack(losses, dim=1).cpu().numpy()
        if module.score:
            series[f"validation_{module.score}"] = torch.stack(scores, dim=1).cpu().numpy()
    if module.config.training.evaluate:
        trainer.test(module, datamodule=data, verbose=False)
        series["test_loss"] = module.test_losses.cpu().numpy()
        if module.score:
            series[f"test_{module.score}"] = module.test_scores.cpu().numpy()
        if module.config.probes.removal and module.config.probes.every != 0:
            series["accuracy_without_layer"] = scores_without_layers(module, data.test_dataloader()).cpu().numpy()
    if module.config.training.evaluate_train:
        series["final_train_accuracy"] = module.score_over(data.ordered_train_dataloader()).cpu().numpy()
    return series


def _labels(config: ArmConfig, module: PopulationModule, layers: list[str]) -> dict[str, list[str]]:
    own = {} if config.built_in is not None else {"mixing": mixing_layers(module, layers)}
    return {"layer": layers, **own}


def weights_digest(module: nn.Module) -> str:
    """Return the sha256 of a module's parameters and running statistics, by which two runs are compared bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        # As bytes, since NumPy does not know every type of torch's.
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(name.encode() + b"\0" + content.tobytes())
    return digest.hexdigest()


def train_arm(
    name: str,
    config: ArmConfig,
    seeds: Sequence[int],
    root: Path,
    hardware: Hardware | None = None,
    progress: bool = False,
    checkpoints: Checkpoints | None = None,
    tell: Tell | None = None,
) -> tuple[Record, nn.Module]:
    """Train one arm, one replica per seed, and return its record and the trained population.

    All at once, or in parts where the device's memory does not suffice for that; a LightningModule of one's own once
    per seed, the list of these is returned then.

    Args:
        name: the arm's name.
        config: its `data.dataset` is a data set, not auto.
        seeds: one per replica.
        root: the folder of the data sets.
        hardware: where to train; None: as Lightning finds best.
        progress: show a progress bar.
        checkpoints: where to save the run while it trains, and to go on from; None: nowhere.
        tell: takes the curves' newest values while they grow; None: nobody listens.

    Raises:
        UserError: the data cannot be had, or the hardware does not fit.
        Stopped: SIGTERM or SIGINT asked for it, and there is a checkpoint of all that was done.
    """
    used = hardware or Hardware()
    _prepare(used)

    def train(chosen: Sequence[int], min_steps: int) -> Trained:
        own = checkpoints
        if own is not None and len(chosen) < len(seeds):
            own = replace(own, folder=own.folder / f"seeds_{chosen[0]}_{chosen[-1]}")
        whole = (name, config, chosen, root, used, progress, own, min_steps, tell)
        return from_checkpoints(lambda: _train_population(*whole))

    module: nn.Module
    if config.module is not None:
        record, module = train_modules(name, config, seeds, root, used, progress, checkpoints, tell)
    else:
        whole = train_what_fits(train, seeds, lambda seeds, record: build_population(config, record.dataset, seeds))
        record, module = whole.record, whole.module
    key = arm_key(config.model_dump(mode="json"), seeds, record.dataset["fingerprint"])
    return replace(record, key=key, weights_sha256=weights_digest(module)), module


def _prepare(hardware: Hardware) -> None:
    """Make this process ready for one more arm."""
    quiet_lightning()
    trained_on(hardware)  # says at once if there is no such device
    keep_freed_memory()
    # What an earlier arm of this process has left would count as this one's, or hide what it takes.
    give_memory_back()
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)


def _foresee(config: ArmConfig, data: PopulationData, hardware: Hardware) -> None:
    """Raise UserError if this machine has not the memory; what a GPU has not is split (`split.py`)."""
    if trained_on(hardware).type == "cpu":
        num_outputs = data.info.get("num_outputs", len(data.info["classes"]))
        require_memory(config, data.info["input_shape"], num_outputs, len(data.seeds), data.batch_size)


def _train_population(
    name: str,
    config: ArmConfig,
    seeds: Sequence[int],
    root: Path,
    hardware: Hardware,
    progress: bool,
    checkpoints: Checkpoints | None,
    min_steps: int,
    tell: Tell | None,
) -> Trained:
    """Train the replicas of some seeds at once; the record lacks what depends on all seeds: key, digest."""
    started = time.perf_counter()
    data = build_data(config.data, seeds, root, config.probes.num_images)
    data.setup("fit")
    lasting = long_enough(config, data.steps_per_epoch, data.info)
    _foresee(config, data, hardware)
    probe_images = data.probe_images() if config.probes.every != 0 else None
    module = build_population(config, data.info, seeds, probe_images)
    observers = Observers(config, data, name if progress else None, tell)
    fitting = Fitting(lasting, data, hardware, checkpoints, min_steps)
    series: dict[str, Any] = {}
    if config.pretraining.kind != "none":
        assert isinstance(module.model, MLP)
        series |= pretrain(module.model, config, data, seeds, fitting.fit)
    usage = Usage(trained_on(hardware))
    trainer = fitting.fit(module, observers.callbacks, "training")
    num_images = (trainer.global_step - fitting.first_step) * data.batch_size * config.training.accumulate * len(seeds)
    used = usage.describe(num_images, len(seeds))
    series |= observers.series(trainer, module) | _evaluate(trainer, module, data)
    if config.probes.every != 0 and config.built_in is not None:
        squares = data.mean_squares(flat=config.built_in.kind == "mlp")
        series |= {} if squares is None else {"input_mean_square": squares}
    if isinstance(module.model, Population):
        used |= {"replicas": "at once" if module.model.vectorise else "one after the other"}
    record = Record(
        key="",
        name=name,
        configuration=config.model_dump(mode="json"),
        seeds=tuple(seeds),
        dataset=data.info,
        environment=describe_environment(trainer.strategy.root_device, observers.recorder.measurements.notes)
        | used
        | fitting.interruptions,
        wall_seconds=time.perf_counter() - started + fitting.earlier_seconds,
        series=series,
        labels=_labels(config, module, observers.recorder.layers),
    )
    return Trained(record, module, trainer.global_step)
