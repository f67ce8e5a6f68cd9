"""What a device makes of many replicas, and what compiling, CUDA graphs and bfloat16 add, against the loop by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from benchmarks import peers
from benchmarks.cases import Work, arm
from benchmarks.clock import Contestant, Spread, race
from benchmarks.ours import as_it_is, population
from benchmarks.suite import Options, Row
from benchmarks.throughput import BY_HAND

WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "eager": as_it_is,
    "compiled": torch.compile,
    "compiled, CUDA graphs": partial(torch.compile, mode="reduce-overhead"),
}


def contestants(work: Work, num_replicas: int) -> dict[str, Contestant]:
    """Return the loop by hand, and ours as it is, compiled, with CUDA graphs, in bfloat16."""
    training = work.config.training.model_copy(update={"precision": "bf16-mixed"})
    bfloat16 = replace(work, config=work.config.model_copy(update={"training": training}))
    found = {BY_HAND: Contestant(partial(peers.by_hand, work))}
    for name, transform in WAYS.items():
        if work.device == "cuda" or "CUDA" not in name:
            found[name] = Contestant(partial(population, work, num_replicas, transform), is_ours=True)
            found[f"{name}, bfloat16"] = Contestant(partial(population, bfloat16, num_replicas, transform), True)
    return found


def measure(options: Options) -> list[Row]:
    """Return one row per number of replicas and way: replica-steps per second, and by how much (a) is slower."""
    most = 256 if options.device == "cuda" else 16
    depth, steps = (4, 2) if options.quick else (50, 20)
    rows = []
    for num_replicas in [2] if options.quick else [number for number in (1, 4, 16, 64, 256) if number <= most]:
        work = Work(f"MLP depth {depth}, width 64, {num_replicas} replicas", arm(depth=depth), steps, 5, options.device)
        seconds = race(contestants(work, num_replicas), options.rounds, options.watch, work.name)
        for name, values in seconds.items():
            faster = Spread.of([hand / own for hand, own in zip(seconds[BY_HAND], values, strict=True)])
            rate = Spread.of([1 / each for each in values])
            rows.append(Row(work.name, name, {"replica-steps/s": rate, "times as fast as (a)": faster}))
    return rows
