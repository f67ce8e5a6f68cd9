"""Records as training leaves them, and an empty MLflow database that a test can start from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.records import Record, make_results_folder, write_record

MakeRecord = Callable[..., Record]


def build_record(key: str = "k1", depth: int = 4, seeds: int = 3, probes: int = 1, **series: Any) -> Record:
    """A record whose gradient is 10**-(distance from the output + seed) at every probe."""
    distance = np.arange(depth)[::-1]
    gradient = 10.0 ** -(distance + np.arange(seeds)[:, None, None]) * np.ones((1, probes, 1))
    steps = 10 * probes
    measured: dict[str, Any] = {
        "gradient_rms": gradient,
        "signal_rms": np.full_like(gradient, 0.1),
        "probe_steps": np.arange(probes) * 10,
        "train_loss": np.linspace(2.0, 1.0, steps) + np.arange(seeds)[:, None],
        "test_accuracy": 0.5 + 0.1 * np.arange(seeds),
        "diverged_at": np.full(seeds, -1),
    }
    return Record(
        key=key,
        name="plain",
        configuration={"model": {"depth": depth, "width": [64, 128]}, "training": {"epochs": None}},
        seeds=tuple(range(seeds)),
        dataset={"name": "digits", "fingerprint": "0123456789abcdef" * 4},
        environment={"commit": "c0ffee", "dirty": True, "versions": {"torch": "2.15.0"}},
        wall_seconds=2.5,
        series=measured | series,
    )


@pytest.fixture
def make_record() -> MakeRecord:
    return build_record


@pytest.fixture
def store_record(results: Path) -> MakeRecord:
    """Write a record to the results folder."""

    def store(*arguments: Any, **settings: Any) -> Record:
        record = build_record(*arguments, **settings)
        write_record(make_results_folder(results), record)
        return record

    return store


@pytest.fixture
def database(results: Path, empty_database: Path) -> Path:
    """The results folder's own database, empty."""
    make_results_folder(results)
    return Path(shutil.copy(empty_database, results / "mlflow.db"))
