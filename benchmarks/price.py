"""What training ought to cost: its steps at the speed of plain Lightning, and its matrix products alone.

The price counts training steps alone, at the step time that plain Lightning needs for a plain ReLU network of the same
depth, width, normalisation and batch; pretraining, probes and evaluation are left out, in its favour. The floor counts
the matrix products of those steps alone, at the rate that one large product reaches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

import torch

from benchmarks import peers
from benchmarks.cases import NUM_CLASSES, Work, arm
from benchmarks.clock import Contestant, race
from vgtemplate.config.schema import ArmConfig

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
    """Return the operations per second of one large matrix product on one thread, the best of ten."""
    size = 2048
    matrix = torch.rand(size, size, dtype=dtype)
    best = math.inf
    for _ in range(10):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
