"""The main job: every claim, cold: time, memory, and what its training ought to cost (price.py).

Needs the laboratory, whose command it times.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.price import lightning_seconds, product_rate, products, shape_of
from benchmarks.suite import Options, Row
from vgtemplate.config.schema import ArmConfig
from vgtemplate.limits import num_cores


def _family_megabytes(parent: psutil.Process) -> float:
    """Return the memory of a process and its descendants; shared pages are counted once where the system says so."""
    total = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):  # a worker may end at any moment
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss) / 1e6
    return total


def run_reproduction(arguments: list[str], results: Path) -> dict[str, float]:
    """Run `vgt reproduce`; return its seconds, its processor seconds and its largest memory in megabytes.

    Raises:
        RuntimeError: it failed.
    """
    started, before, most, done = time.perf_counter(), _processor_seconds(), 0.0, threading.Event()
    command = [sys.executable, "-m", "vgtemplate", "reproduce", *arguments]
    process = subprocess.Popen(command, env=os.environ | {"VGT_RESULTS_DIR": str(results)}, stdout=subprocess.DEVNULL)
    family = psutil.Process(process.pid)

    def look() -> None:
        nonlocal most
        while not done.wait(2.0):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                most = max(most, _family_megabytes(family))

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
