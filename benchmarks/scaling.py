"""Step time and memory against the number of replicas, the depth, the number of images: one fresh process per point."""

from __future__ import annotations

import math
import multiprocessing
from dataclasses import replace

import psutil
import torch

from benchmarks.cases import Work, arm
from benchmarks.clock import Spread, prepare
from benchmarks.ours import population
from benchmarks.suite import Options, Row
from vgtemplate.training.usage import peak_megabytes

REPLICAS = (1, 2, 4, 8, 16, 32, 64)
MORE_REPLICAS = (128, 256)
"""On a GPU."""
DEPTHS = (2, 5, 10, 20, 50, 100, 200)
IMAGES = (1_000, 5_000, 20_000, 60_000)


def measure_point(work: Work, num_replicas: int, rounds: int, threads: int) -> tuple[list[float], float]:
    """Return the seconds of a step of the whole population, one per round, and the most megabytes that it takes."""
    prepare(threads, is_ours=True)
    before = psutil.Process().memory_info().rss / 1e6
    seconds = [population(work, num_replicas) * num_replicas for _ in range(rounds)]
    if work.device == "cuda":
        return seconds, torch.cuda.max_memory_allocated() / 1e6
    return seconds, (peak_megabytes() or math.nan) - before


def points(options: Options) -> list[tuple[str, float, Work, int]]:
    """Return (what varies, its value, the work, R) for every point."""
    base = Work("", arm(), 30, 5, options.device)
    most = (*REPLICAS, *MORE_REPLICAS) if options.device == "cuda" else REPLICAS
    found: list[tuple[str, float, Work, int]] = [("replicas", number, base, number) for number in most]
    found += [("depth", depth, replace(base, config=arm(depth=depth)), options.replicas) for depth in DEPTHS]
    found += [
        ("training images", number, replace(base, config=arm(depth=4, num_train=number), steps=100), options.replicas)
        for number in IMAGES
    ]
    if options.quick:
        found = [(name, value, replace(work, steps=2, warm_up=1), r) for name, value, work, r in found[:2]]
    return found


def measure(options: Options) -> list[Row]:
    """Return one row per point: milliseconds per step, and per step and replica, and megabytes."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for name, value, work, num_replicas in points(options):
        options.watch(f"{name} {value}")
        with context.Pool(1) as pool:
            seconds, megabytes = pool.apply(
                measure_point, (work, num_replicas, options.rounds, torch.get_num_threads())
            )
        step = [1e3 * each for each in seconds]
        values: dict[str, Spread | float] = {
            "ms per step": Spread.of(step),
            "ms per step and replica": Spread.of([each / num_replicas for each in step]),
            "MB": megabytes,
        }
        rows.append(Row(name, f"{value:g}", values))
    return rows
