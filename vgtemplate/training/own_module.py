"""A LightningModule of one's own: its seeds are trained one after the other, and make one record."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from vgtemplate.callbacks.layers import mixing_layers
from vgtemplate.callbacks.live import LiveCurves, Tell
from vgtemplate.config.errors import UserError
from vgtemplate.config.own import build, their_errors
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.data.lengths import long_enough
from vgtemplate.data.module import PopulationData
from vgtemplate.data.randomness import borrowed_generators, seed_all
from vgtemplate.data.theirs import build_data
from vgtemplate.lightning import pl
from vgtemplate.records import Record
from vgtemplate.training.environment import describe_environment
from vgtemplate.training.module_observers import ModuleObservers
from vgtemplate.training.module_scores import as_series, evaluate
from vgtemplate.training.outcomes import Outcome, join_outcomes, read_outcome, write_outcome
from vgtemplate.training.trainer import Checkpoints, Fitting, Hardware, from_checkpoints, trained_on
from vgtemplate.training.usage import Usage


def build_module(config: ArmConfig, dataset: Mapping[str, Any], seed: int) -> pl.LightningModule:
    """Return an untrained module, its weights drawn from its seed.

    Raises:
        UserError: its factory fails, or makes something else.
    """
    assert config.module is not None
    offered: dict[str, Any] = {"num_classes": dataset.get("num_outputs", len(dataset["classes"]))}
    offered["input_shape"] = tuple(dataset["input_shape"])
    with borrowed_generators():
        seed_all(derive(seed, Stream.WEIGHTS))
        module = build("module", config.module, offered)
    if not isinstance(module, pl.LightningModule):
        raise UserError(f"module.factory {config.module.factory}: makes a {type(module).__name__}{_fault(module)}")
    return module.double() if config.training.precision == "64-true" else module


def _fault(module: object) -> str:
    """Say what is wrong with what is no LightningModule of the package that trains."""
    packages = {parent.__module__.partition(".core")[0] for parent in type(module).__mro__}
    if other := packages & {"pytorch_lightning", "lightning.pytorch"}:
        return f" of {other.pop()}, but {pl.__name__} was imported too, or before, and trains here; use one of the two"
    return f"; it must be a LightningModule of {pl.__name__}"


def train_modules(
    name: str,
    config: ArmConfig,
    seeds: Sequence[int],
    root: Path,
    hardware: Hardware,
    progress: bool,
    checkpoints: Checkpoints | None,
    tell: Tell | None = None,
) -> tuple[Record, nn.ModuleList]:
    """Train a module of one's own once per seed; the record lacks what depends on all seeds: key, digest.

    A seed that is done is kept beside the checkpoints, so that none is trained twice.

    Raises:
        UserError: the data cannot be had, or people's own code fails, in one line.
        Stopped: SIGTERM or SIGINT asked for it, and there is a checkpoint of all that was done.
    """
    given = [name for name in ("shift", "gradient_change", "growth") if getattr(config.probes, name)]
    if given:
        raise UserError(f"probes.{given[0]} needs `model`, a network of seeds side by side, not a module of one's own")
    if len(seeds) > 1:
        warnings.warn(
            f"{name}: a LightningModule of one's own is trained seed by seed: {len(seeds)} runs, one after the other",
            stacklevel=2,
        )
    outcomes, dataset = [], {}
    for number, seed in enumerate(seeds, start=1):
        data = _prepare(config, seed, root)
        dataset = data.info
        own = checkpoints and replace(checkpoints, folder=checkpoints.folder / f"seed_{seed}")
        outcome = read_outcome(own.folder) if own is not None else None
        if outcome is None:
            title = f"{name}, seed {seed} ({number} of {len(seeds)})" if progress else None
            live = None if tell is None else LiveCurves(tell, f"seed_{seed}/")
            give = _given_first(data, partial(_prepare, config, seed, root))
            outcome = from_checkpoints(partial(_train_one, config, give, seed, hardware, title, own, live))
            if own is not None and hardware.devices == 1:
                write_outcome(own.folder, outcome)
        outcomes.append(outcome)
    modules = nn.ModuleList(build_module(config, dataset, seed) for seed in seeds)
    for module, outcome in zip(modules, outcomes, strict=True):
        module.load_state_dict(outcome.weights)
    return join_outcomes(name, config, seeds, dataset, outcomes), modules


def _given_first(data: PopulationData, prepare: Callable[[], PopulationData]) -> Callable[[], PopulationData]:
    """Return what gives these data once, and prepares others whenever it is called again."""
    ready = [data]
    return lambda: ready.pop() if ready else prepare()


def _prepare(config: ArmConfig, seed: int, root: Path) -> PopulationData:
    data = build_data(config.data, [seed], root, alone=True)
    data.setup("fit")
    return data


def _train_one(
    config: ArmConfig,
    give: Callable[[], PopulationData],
    seed: int,
    hardware: Hardware,
    title: str | None,
    checkpoints: Checkpoints | None,
    live: LiveCurves | None,
) -> Outcome:
    assert config.module is not None
    started, data = time.perf_counter(), give()
    module = build_module(config, data.info, seed)
    lasting = long_enough(config, data.steps_per_epoch, data.info)
    fitting = Fitting(lasting, data, hardware, checkpoints)
    usage = Usage(trained_on(hardware))

    def seed_batch(purpose: int, number: int) -> None:
        rank = data.trainer.global_rank if data.trainer is not None else 0
        seed_all(derive(seed, Stream.NOISE, purpose, number, rank))

    observers = ModuleObservers(lasting, seed_batch, title, live)
    with borrowed_generators(), their_errors(f"module.factory {config.module.factory}"):
        seed_all(derive(seed, Stream.NOISE))
        trainer = fitting.fit(module, observers.callbacks, "training")
        series = observers.series(trainer)
        used = usage.describe(series["train_loss"].size * data.batch_size, 1)
        logged = evaluate(trainer, module, data, config.training.evaluate, observers.validations.found)
    return Outcome(
        series=series | as_series(observers.validations.found, logged),
        logged=logged,
        layers=observers.recorder.layers,
        mixing=mixing_layers(module, observers.recorder.layers),
        weights={key: tensor.detach().cpu() for key, tensor in module.state_dict().items()},
        environment=describe_environment(trainer.strategy.root_device, observers.recorder.measurements.notes)
        | used
        | fitting.interruptions,
        seconds=time.perf_counter() - started + fitting.earlier_seconds,
    )
