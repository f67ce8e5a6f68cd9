"""A population as `vgt train` trains it, step by step on the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytorch_lightning as pl
from torch import nn

from benchmarks.cases import NUM_CLASSES, SHAPE, MemoryData, Work
from benchmarks.clock import Clock, LightningClock
from vgtemplate.nn.build import build_model
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.observers import Observers
from vgtemplate.training.trainer import Hardware, build_trainer, quiet_lightning


def build_population(work: Work, num_replicas: int) -> PopulationModule:
    """Return the module of the work's network, one replica per seed, with probe images if it is probed."""
    model = build_model(work.config.model, SHAPE, NUM_CLASSES, range(num_replicas))
    probed = work.config.probes.every != 0
    images = work.images()[0][: work.config.probes.num_images] if probed else None
    return PopulationModule(model, work.config, num_replicas, images)


def as_it_is(model: nn.Module) -> nn.Module:
    """Return the network itself."""
    return model


def population(
    work: Work,
    num_replicas: int,
    transform: Callable[[nn.Module], nn.Module] = as_it_is,
    callbacks: Sequence[pl.Callback] = (),
) -> float:
    """Train a population with the observers that its configuration asks for; return the seconds per step and replica.

    Args:
        work: what to train.
        num_replicas: R.
        transform: applied to the network, such as torch.compile.
        callbacks: more of them.
    """
    quiet_lightning()
    data, module = MemoryData(work, num_replicas), build_population(work, num_replicas)
    module.model = transform(module.model)
    clock = Clock(work.warm_up, work.device)
    observers = Observers(work.config, data, progress=None)  # type: ignore[arg-type]
    watching = [LightningClock(clock), *observers.callbacks, *callbacks]
    trainer = build_trainer(work.config, Hardware("gpu" if work.device == "cuda" else "cpu"), watching, work.total)
    trainer.fit(module, datamodule=data)
    return clock.seconds / work.steps / num_replicas
