"""The main job: every claim, cold: time, memory, the price of its training as plain Lightning, and the floor.

The price counts the training steps of the records alone, at the step time that plain Lightning needs for a plain ReLU
network of the same depth, width, normalisation and batch; pretraining, probes and evaluation are left out, in its
favour. The floor counts the matrix products of those steps alone, at the rate that one large product reaches.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmarks import peers
from benchmarks.cases import NUM_CLASSES, Work, arm
from benchmarks.clock import Contestant, race
from benchmarks.suite import Options, Row
from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.workers import num_cores


def _family_megabytes(parent: int) -> float:
    """Return the memory of a process and its descendants, shared pages counted once; 0 where Linux's /proc is not."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {parent}
    while more := {child for child, its in parents.items() if its in family} - family:
        family |= more
    total = 0.0
    for process in family:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
    return total


def run_reproduction(arguments: list[str], results: Path) -> dict[str, float]:
    """Run `vgt reproduce`; return its seconds, its processor seconds and its largest memory in megabytes.

    Raises:
        RuntimeError: it failed.
    """
    started, before, most, done = time.perf_counter(), _processor_seconds(), 0.0, threading.Event()
    command = [sys.executable, "-m", "vgtemplate", "reproduce", *arguments]
    process = subprocess.Popen(command, env=os.environ | {"VGT_RESULTS_DIR": str(results)}, stdout=subprocess.DEVNULL)

    def look() -> None:
        nonlocal most
        while not done.wait(2.0):
            most = max(most, _family_megabytes(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise RuntimeError(f"vgt reproduce {' '.join(arguments)} ended with code {code}")
    return {
        "s": time.perf_counter() - started,
        "processor s": _processor_seconds() - before,
        "MB": most,
    }


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def trained(results: Path) -> list[tuple[ArmConfig, int, int, int]]:
    """Return (configuration, R, steps, inputs of the first layer) of every record of an arm."""
    found = []
    for path in sorted(results.glob("*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "model" in record["configuration"]:
            with np.load(path.with_name("series.npz"), allow_pickle=False) as series:
                num_replicas, steps = series["train_loss"].shape
            pixels = 8 * 8 if record["dataset"]["name"] == "digits" else 28 * 28
            found.append((ArmConfig.model_validate(record["configuration"]), num_replicas, steps, pixels))
    return found


Shape = tuple[str, int, tuple[int, ...], str, int, bool]
"""Kind, depth, widths, normalisation, batch size, double precision: what the price of a step depends on."""


def shape_of(config: ArmConfig) -> Shape:
    """Return what plain Lightning is timed with for an arm."""
    model, double = config.model, config.training.precision == "64-true"
    return model.kind, model.depth, tuple(model.widths()), model.norm, config.data.batch_size, double


def lightning_seconds(shapes: Iterable[Shape], watch: Callable[[str], None]) -> dict[Shape, float]:
    """Return the seconds of a step of plain Lightning on a network of each shape."""
    contestants = {}
    for shape in shapes:
        kind, depth, widths, norm, batch, double = shape
        config = arm(kind, depth, 1, norm, num_train=max(2_000, batch))
        model = config.model.model_copy(update={"width": list(widths)})
        data = config.data.model_copy(update={"batch_size": batch})
        work = Work("", config.model_copy(update={"model": model, "data": data}), 20, 5)
        precision = "64-true" if double else "32-true"
        contestants[str(shape)] = shape, Contestant(partial(peers.lightning, work, precision=precision))
    seconds = race({name: contestant for name, (_, contestant) in contestants.items()}, 1, watch, "pricing")
    return {shape: seconds[name][0] for name, (shape, _) in contestants.items()}


def products(config: ArmConfig, pixels: int) -> float:
    """Return the floating-point operations of the matrix products of one training step of one network."""
    model = config.model
    widths = [pixels if model.kind == "mlp" else 1, *model.widths()]
    multiplied = 0.0
    sides = [math.isqrt(pixels)] * model.depth
    if model.kind == "cnn" and model.output == "logits":
        for index, stride in enumerate(model.strides()):
            sides[index:] = [-(-sides[index] // stride)] * (model.depth - index)
    for index, (fan_in, width) in enumerate(pairwise(widths)):
        area = 9 * sides[index] ** 2 if model.kind == "cnn" else 1
        # Forward, the weights' gradient, and, but for the first layer, the input's.
        multiplied += (3 if index else 2) * fan_in * width * area
    multiplied += 3 * widths[-1] * (9 * pixels if model.output == "image" else NUM_CLASSES)
    return 2 * multiplied * config.data.batch_size


def product_rate(dtype: torch.dtype) -> float:
    """Return the operations a second of one large matrix product on one thread, the best of ten."""
    size = 2048
    matrix = torch.rand(size, size, dtype=dtype)
    best = math.inf
    for _ in range(10):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def measure(options: Options) -> list[Row]:
    """Return the rows of a cold and an unchanged reproduction, of its price and of its floor."""
    arguments = ["growth-threshold", "derivative-bounds", "--seeds", "2"] if options.quick else []
    with tempfile.TemporaryDirectory() as folder:
        options.watch("cold, every claim")
        cold = run_reproduction(arguments, Path(folder))
        options.watch("again, unchanged")
        again = run_reproduction(arguments, Path(folder))
        arms = trained(Path(folder))
    rates = {double: product_rate(torch.float64 if double else torch.float32) for double in (False, True)}
    prices = lightning_seconds({shape_of(config) for config, *_ in arms}, options.watch)
    price = floor = 0.0
    for config, num_replicas, steps, pixels in arms:
        price += prices[shape_of(config)] * num_replicas * steps
        floor += products(config, pixels) * num_replicas * steps / rates[config.training.precision == "64-true"]
    cores = num_cores()
    name = "every claim, ten seeds" if not options.quick else "two claims, two seeds"
    return [
        Row(name, f"ours, cold, {cores} cores", {**cold}),
        Row(name, "ours, again", {**again}),
        Row(name, "training steps alone, as (b)", {"s": price / cores, "processor s": price}),
        Row(name, "their matrix products alone", {"s": floor / cores, "processor s": floor}),
        Row("one product of 2048", "float32, one thread", {"GFLOP/s": rates[False] / 1e9}),
        Row("one product of 2048", "float64, one thread", {"GFLOP/s": rates[True] / 1e9}),
    ]
