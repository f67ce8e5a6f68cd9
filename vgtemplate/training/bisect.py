"""Trains an arm again, from a checkpoint if there is one, up to its first value that is not finite."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vgtemplate.callbacks.archives import read_archive
from vgtemplate.callbacks.first_bad import FirstBad, FirstBadFinder, FoundError
from vgtemplate.callbacks.own_module import StepSeeds
from vgtemplate.config.own import their_errors
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.data.batches import BatchOrder
from vgtemplate.data.lengths import long_enough
from vgtemplate.data.module import PopulationData
from vgtemplate.data.randomness import borrowed_generators, seed_all
from vgtemplate.data.theirs import build_data
from vgtemplate.nn.mlp import MLP
from vgtemplate.training.own_module import build_module
from vgtemplate.training.pretraining import pretrain
from vgtemplate.training.run import build_population
from vgtemplate.training.trainer import Checkpoints, Fitting, Hardware, from_checkpoints, quiet_lightning

_NEVER = 1e9
"""Seconds between two checkpoints of a training that needs none."""


@dataclass(frozen=True)
class Found:
    """What the training of an arm came to.

    Args:
        steps: how many steps it has.
        first_step: where it was taken up.
        bad: the first value that was not finite; None: there was none.
        seeds: whose it was.
        indices: of the culprit's samples in the training split of the first of these seeds.
    """

    steps: int
    first_step: int
    bad: FirstBad | None = None
    seeds: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()


def bisect_arm(config: ArmConfig, seeds: Sequence[int], root: Path, hardware: Hardware, checkpoints: Path) -> Found:
    """Train an arm until something is not finite, and say what it was; no record is written, no checkpoint changed.

    Args:
        config: its `data.dataset` is a data set, not auto.
        root: the folder of the data sets.
        checkpoints: where those of the arm are, if there are any.

    Raises:
        UserError: the data cannot be had, or the hardware does not fit.
    """
    quiet_lightning()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "checkpoints"
        if checkpoints.is_dir():
            shutil.copytree(checkpoints, folder)
            if not all(map(_is_finite, folder.rglob("*.ckpt"))):
                shutil.rmtree(folder)
        if config.module is None:
            return from_checkpoints(partial(_population, config, seeds, root, hardware, Checkpoints(folder, _NEVER)))
        found = Found(0, 0)
        for seed in seeds:
            own = Checkpoints(folder / f"seed_{seed}", _NEVER)
            found = from_checkpoints(partial(_module, config, seed, root, hardware, own))
            if found.bad is not None:
                break
        return found


def _is_finite(path: Path) -> bool:
    """Say whether a checkpoint was written before anything went wrong; one that cannot be read is left to others."""
    try:
        state = read_archive(path)["state_dict"]
    except (ValueError, LookupError, TypeError):
        return True
    return all(bool(each.isfinite().all()) for each in state.values() if isinstance(each, Tensor))


def _population(
    config: ArmConfig, seeds: Sequence[int], root: Path, hardware: Hardware, checkpoints: Checkpoints
) -> Found:
    data = build_data(config.data, seeds, root, config.probes.num_images)
    data.setup("fit")
    lasting = long_enough(config, data.steps_per_epoch, data.info)
    module = build_population(config, data.info, seeds)
    fitting = Fitting(lasting, data, hardware, checkpoints)
    finder = FirstBadFinder()

    def train() -> int:
        if config.pretraining.kind != "none":
            assert isinstance(module.model, MLP)
            pretrain(module.model, config, data, seeds, fitting.fit)
        return int(fitting.fit(module, [finder], "training").global_step)

    return _end(train, fitting, data, seeds)


def _module(config: ArmConfig, seed: int, root: Path, hardware: Hardware, checkpoints: Checkpoints) -> Found:
    assert config.module is not None
    data = build_data(config.data, [seed], root, alone=True)
    data.setup("fit")
    module = build_module(config, data.info, seed)
    fitting = Fitting(long_enough(config, data.steps_per_epoch, data.info), data, hardware, checkpoints)
    seeds = StepSeeds(lambda purpose, number: seed_all(derive(seed, Stream.NOISE, purpose, number, 0)))
    with borrowed_generators(), their_errors(f"module.factory {config.module.factory}"):
        seed_all(derive(seed, Stream.NOISE))
        finder = FirstBadFinder(seeds)
        return _end(lambda: int(fitting.fit(module, [seeds, finder], "training").global_step), fitting, data, [seed])


def _end(train: Callable[[], int], fitting: Fitting, data: PopulationData, seeds: Sequence[int]) -> Found:
    try:
        return Found(train(), fitting.first_step)
    except FoundError as end:
        bad = end.found
    order = BatchOrder(data.seeds, data.info["num_train"], data.config.batch_size)
    places = () if bad.culprit is None else bad.culprit.samples
    batch: Tensor = order.indices(bad.batch)[bad.replicas[0]] if places else torch.empty(0)
    indices = tuple(int(batch[place]) for place in places if place < len(batch))
    return Found(bad.step, fitting.first_step, bad, tuple(seeds[each] for each in bad.replicas), indices)
