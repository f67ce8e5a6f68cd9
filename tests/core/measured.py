"""A record that is made by hand for the tests of metrics, and a metric of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from vgtemplate.metrics import FUNCTIONS
from vgtemplate.records import Record

Array = npt.NDArray[np.float64]
R = 3
SLOPES = np.array([-0.5, 0.0, 0.25])


def make(depth: int = 6, width: int | list[int] = 10, seeds: int = R, **series: Any) -> Record:
    """A record whose probed series are 1 everywhere but for those given as (R, L) arrays, their only probe."""
    probed = {
        name: np.ones((seeds, depth))
        for name in (
            *("gradient_rms", "signal_rms", "derivative_rms", "weight_rms", "bias_grad_norm", "update_ratio"),
            *("saturated_fraction", "signal_mean", "travel", "dead_fraction", "input_shift", "gradient_change"),
        )
    }
    flat = {
        "test_accuracy": np.full(seeds, 0.9),
        "final_train_accuracy": np.full(seeds, 1.0),
        "test_psnr": np.full(seeds, 20.0),
        "test_score": np.full(seeds, 0.7),
        "validation_loss": np.ones((seeds, 2)),
        "diverged_at": np.full(seeds, -1),
        "train_loss": np.ones((seeds, 20)),
    }
    for name, array in series.items():
        (flat if name in flat else probed)[name] = np.asarray(array)
    return Record(
        key="k",
        name="a",
        configuration={
            "model": {"depth": depth, "width": width, "activation": "tanh"},
            "training": {"stop_loss": 1.0},
        },
        seeds=tuple(range(seeds)),
        dataset={},
        environment={},
        wall_seconds=0.0,
        series={name: array[:, None, :] for name, array in probed.items()} | flat,
    )


def metric(name: str, record: Record, **options: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what cannot be computed is NaN, silently
        return FUNCTIONS[name](record, **options)


def gradient(slopes: Array, depth: int = 6) -> Array:
    """An exactly exponential profile: 10^(slope * distance from the output), times a constant per replica."""
    distance = np.arange(depth)[::-1]
    return np.array([[3.0], [1e-5], [7.0]]) * 10.0 ** (slopes[:, None] * distance)
