"""Checks of the doctor: how often it is right, how often it cries wolf, what it costs; by the trainings of its zoo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vgtemplate.config.seeding import Stream, derive
from vgtemplate.doctor.loop import watch
from vgtemplate.lab.checks.registry import check

_ZOO = "fifth"
_CLAIM = 68
"""The seed of the draw: the register's last number, and one."""
_BLOCKS, _STEPS = 10, 1000
_WIDTH, _DEPTH, _BATCH, _INPUTS, _CLASSES = 256, 6, 256, 784, 10


@check(
    "benchmarks/doctor: the fifth zoo, each training once",
    quantities="found right_code false_alarms",
    needs="benchmarks",
    also="doctor watching",
)
def doctor_finds_faults() -> dict[str, float]:
    """Return the shares of ill trainings with a finding and with the right one, and of healthy ones with any."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "zoo.json"
        command = [sys.executable, "-m", "benchmarks.doctor", "--half", _ZOO, "--json", str(file)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        counts = json.loads(file.read_text(encoding="utf-8"))["ours"]
    names = {"found": "recall", "right_code": "right", "false_alarms": "false_positives"}
    return {name: counts[theirs]["hits"] / counts[theirs]["of"] for name, theirs in names.items()}


@check("wall time, ten trainings in turn; differs by machine", quantities="time_ratio", also="doctor watching")
def doctor_costs_little() -> dict[str, list[float]]:
    """Return the time of a training that `watch` looks at over that of the same one without, block by block.

    A training has 1,000 steps of some 10 ms: six layers of 256 units, batches of 256, Adam. Which of the two is first
    alternates.
    """
    ratios = []
    for block in range(_BLOCKS):
        ways: list[Callable[..., Any]] = [watch, lambda model, optimizer: nullcontext()]
        seconds = {way: _seconds(way) for way in (ways if block % 2 else reversed(ways))}
        ratios.append(seconds[ways[0]] / seconds[ways[1]])
    return {"time_ratio": ratios}


def _seconds(way: Callable[..., Any]) -> float:
    generator = torch.Generator().manual_seed(derive(_CLAIM, Stream.CHECKS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(_CLAIM, Stream.CHECKS))
        widths = [_INPUTS, *[_WIDTH] * _DEPTH]
        hidden = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(_WIDTH, _CLASSES))
    x = torch.randn(_BATCH, _INPUTS, generator=generator)
    y = torch.randint(_CLASSES, (_BATCH,), generator=generator)
    optimizer = torch.optim.Adam(model.parameters())
    started = time.perf_counter()
    with way(model, optimizer):
        for _ in range(_STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return time.perf_counter() - started
