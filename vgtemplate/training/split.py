"""Where the device's memory does not suffice for a population, its halves are trained in turn and make one record.

A replica gives the same result whichever others train beside it, so the record is that of the whole population, bit for
bit. It may differ in rounding only where a library sums in another order when there are fewer networks (convolutions,
R = 1).
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vgtemplate.config.errors import UserError
from vgtemplate.records import SERIES, Record
from vgtemplate.training.module import PopulationModule


@dataclass(frozen=True)
class Trained:
    """A population that was trained, and for how many steps."""

    record: Record
    module: PopulationModule
    steps: int


Train = Callable[[Sequence[int], int], Trained]
"""Trains the replicas of some seeds; an early stop does not end the run before so many steps."""


def train_what_fits(
    train: Train, seeds: Sequence[int], build: Callable[[Sequence[int], Record], PopulationModule], min_steps: int = 0
) -> Trained:
    """Train a population; where the device's memory does not suffice, one half after the other.

    Args:
        train: called again with fewer seeds.
        seeds: one per replica.
        build: returns an untrained module of some seeds, for data as a record describes them.
        min_steps: how many steps are trained whatever an early stop asks for.

    Raises:
        UserError: the memory does not suffice for a single network.
    """
    with suppress(torch.OutOfMemoryError):
        return train(seeds, min_steps)
    # The exception held what was on the device, so it can be freed only here, where the exception is gone.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(seeds) == 1:
        raise UserError("the device has too little memory for one network; try a smaller data.batch_size")
    middle = (len(seeds) + 1) // 2
    warnings.warn(
        f"the device has too little memory for {len(seeds)} networks at once; {middle} and then "
        f"{len(seeds) - middle} are trained",
        stacklevel=2,
    )
    halves = [train_what_fits(train, half, build, min_steps) for half in (seeds[:middle], seeds[middle:])]
    # A population goes on until the last of its replicas is done.
    steps = max(half.steps for half in halves)
    halves = [
        half if half.steps == steps else train_what_fits(train, half.record.seeds, build, steps) for half in halves
    ]
    return _join(halves, build)


def _join(halves: Sequence[Trained], build: Callable[[Sequence[int], Record], PopulationModule]) -> Trained:
    records, modules = [half.record for half in halves], [half.module for half in halves]
    seeds = tuple(seed for record in records for seed in record.seeds)
    module = build(seeds, records[0])
    module.load_state_dict(_stack([module.state_dict() for module in modules]))
    best = [module.best_weights for module in modules if module.best_weights is not None]
    module.best_weights = _stack(best) if len(best) == len(modules) else None
    sizes = [size for record in records for size in record.environment.get("populations", [len(record.seeds)])]
    record = replace(
        records[0],
        seeds=seeds,
        environment=dict(records[0].environment) | {"populations": sizes},
        wall_seconds=sum(record.wall_seconds for record in records),
        # A series without replicas, such as the steps of probes, is the same in all.
        series={
            name: np.concatenate([each.series[name] for each in records])
            if SERIES[name].axes[0] == "replica"
            else array
            for name, array in records[0].series.items()
        },
    )
    return Trained(record, module, halves[0].steps)


def _stack(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}
