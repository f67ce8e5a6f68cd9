"""A record for the tests of records, which has what is hard to keep: NaN, infinity, letters beyond ASCII."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from vgtemplate.records import (
    Record,
)

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(key: str = "k", **series: Any) -> Record:
    measured: dict[str, Any] = {
        "gradient_rms": np.array([[[1.0, 1e-300], [np.nan, np.inf]], [[0.1, 0.2], [0.3, 0.4]]]),
        "probe_steps": np.array([0, 7]),
        "train_loss": np.array([[2.5, 1 / 3], [-0.0, np.inf]], dtype=np.float32),
        "diverged_at": np.array([-1, 1]),
    }
    return Record(
        key=key,
        name="plain",
        configuration={"model": {"depth": 2, "width": [64, 128]}, "lr": 0.1 + 0.2, "path": None, "é": "ü"},
        seeds=(3, 1),
        dataset={"name": "digits", "fingerprint": "f" * 64},
        environment={"commit": None, "dirty": True, "threads": 2},
        wall_seconds=1.25,
        series=measured | series,
        labels={"layer": ["layer_1", "layer_2"]},
    )


def assert_equal(ours: Record | None, theirs: Record) -> None:
    assert ours is not None
    for name in ("key", "name", "configuration", "seeds", "dataset", "environment", "wall_seconds", "labels"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.series) == set(theirs.series)
    for name, array in theirs.series.items():
        assert ours.series[name].dtype == array.dtype
        assert ours.series[name].tobytes() == array.tobytes()
