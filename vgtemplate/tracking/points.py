"""A record as the numbers MLflow's charts show: medians over the replicas, thinned, named so that arms compare.

The UI puts charts together by the beginning of their names, in the order of the alphabet, and calls every horizontal
axis "Step". So loss and accuracy are `curves/X`, and the name says where the axis is something else: in
`layer_as_step/X_at_start` and `..._at_end` it is the layer's number. `X/layer_007` is one layer over the training
steps. Names ending in `log10` are logarithms, since gradients span decades. Of a run's single numbers one that does not
exist is NaN, which MLflow takes; elsewhere values that are not finite are left out and counted. Knows nothing of
mlflow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vgtemplate.metrics.initial import gradient_slope
from vgtemplate.metrics.trained import final_loss
from vgtemplate.records import Array, Record

MAX_STEPS = 50
"""Points of a curve over training steps."""
MAX_LAYERS = 20
"""Layers whose gradient is shown over the steps; of deeper networks so many, evenly spread, first and last included."""
_SHARE = {"gradient_rms": 1, "signal_rms": 2, "travel": 2, "saturated_fraction": 2, "update_ratio": 2}
"""Series shown over the steps; 2: half as many layers and steps, since a store takes 70 microseconds per point."""


CURVES = "curves"
"""Section of the loss and the scores over the training steps."""
PROFILES = "layer_as_step"
"""Section of what is shown layer by layer."""


@dataclass(frozen=True)
class Point:
    """One value of one curve."""

    name: str
    step: int
    value: float


# Series to chart.
_CHARTS = {
    "gradient_rms": "gradient_log10",
    "bias_grad_norm": "gradient_of_bias_log10",
    "weight_grad_norm_before_clip": "gradient_of_weight_log10",
    "signal_rms": "signal_log10",
    "signal_mean": "signal_mean",
    "travel": "travel",
    "dead_fraction": "units_dead",
    "saturated_fraction": "units_saturated",
    "update_ratio": "update_ratio_log10",
    "input_shift": "input_shift",
    "gradient_change": "gradient_change",
}
_CURVES = ("loss", "accuracy", "score", "psnr")
_FINAL = ("test_accuracy", "test_score", "test_psnr", "test_loss", "final_train_accuracy")


def spread_evenly(number: int, most: int) -> list[int]:
    """Return at most `most` of the indices 0 to number - 1, evenly spread, the first and the last among them."""
    return sorted({round(index) for index in np.linspace(0, number - 1, min(number, most))}) if number else []


def _ordered(values: Array, name: str) -> Array:
    """Return `values` as float64 with NaN as the worst value: 0 is never better than a replica that diverged."""
    worst = -np.inf if name.endswith("accuracy") else np.inf
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(numbers), worst, numbers)


def _middle(values: Array, name: str) -> Array:
    """Return the median over the replicas, axis 0; infinite where half of them are."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.median(_ordered(values, name), axis=0))


def _shown(values: Array, name: str) -> Array:
    """Return the median over the replicas as the chart of the series `name` shows it."""
    middle = _middle(values, name)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(middle) if _CHARTS[name].endswith("log10") else middle


def _profiles(record: Record) -> list[Point]:
    points = []
    for name, chart in _CHARTS.items():
        if (series := record.series.get(name)) is None or not series.size:
            continue
        trained = series.shape[1] > 1 and name in (*_SHARE, "dead_fraction")
        probes = {"start": 0} | ({"end": -1} if trained else {})
        for when, probe in probes.items():
            curve, values = f"{PROFILES}/{chart}_at_{when}", _shown(series[:, probe, :], name)
            points += [Point(curve, layer, float(value)) for layer, value in enumerate(values, start=1)]
    return points


def _layers_over_steps(record: Record) -> list[Point]:
    steps = record.series.get("probe_steps", np.arange(0))
    if len(steps) < 2:
        return []
    points = []
    for name, share in _SHARE.items():
        if name not in record.series:
            continue
        chosen = spread_evenly(len(steps), MAX_STEPS // share)
        values = _shown(record.series[name], name)
        for layer in spread_evenly(values.shape[1], MAX_LAYERS // share):
            curve = f"{_CHARTS[name]}/layer_{layer + 1:03d}"
            points += [Point(curve, int(steps[probe]), float(values[probe, layer])) for probe in chosen]
    return points


def _with_spread(values: Array, name: str) -> dict[str, Array]:
    """Return the median under `name` and, of several replicas, the smallest and the largest beside it."""
    curves = {name: _middle(values, name)}
    if len(values) > 1:
        ordered = _ordered(values, name)
        curves |= {f"{name}_min": ordered.min(axis=0), f"{name}_max": ordered.max(axis=0)}
    return curves


def _curves(record: Record) -> list[Point]:
    points = []
    for name in (f"{split}_{quantity}" for split in ("train", "validation") for quantity in _CURVES):
        if (series := record.series.get(name)) is None or not series.size:
            continue
        steps = np.arange(series.shape[1]) if name.startswith("train") else record.series["validation_steps"]
        chosen = spread_evenly(len(steps), MAX_STEPS)
        for curve, values in _with_spread(series, name).items():
            points += [Point(f"{CURVES}/{curve}", int(steps[index]), float(values[index])) for index in chosen]
    return points


def _as_name(text: str) -> str:
    """Return a text as the name of a metric, without the marks that MLflow does not take."""
    return re.sub(r"[^/\w.\- :]", "_", text, flags=re.ASCII)


def _logged(record: Record) -> dict[str, float]:
    """Return what a LightningModule of one's own has logged, by its own names."""
    found: dict[str, float] = {}
    names, logged = record.labels.get("logged", []), record.series.get("logged", np.empty((0, 0)))
    for label, values in zip(names, logged.T, strict=True):
        found |= {key: float(value) for key, value in _with_spread(values, _as_name(label)).items()}
    return found


def _measures(record: Record) -> dict[str, Array]:
    """Return the single numbers of a run, one value per seed each."""
    found = {name: series for name in _FINAL if (series := record.series.get(name)) is not None and series.size}
    if "train_loss" in record.series:
        found["final_loss"] = final_loss(record)
    if "gradient_rms" in record.series and not np.isnan(slopes := gradient_slope(record)).all():
        found["gradient_slope"] = slopes
    return found


def _finals(record: Record) -> list[Point]:
    values = _logged(record) | {"wall_seconds": record.wall_seconds}
    for name, measured in _measures(record).items():
        values |= {key: float(value) for key, value in _with_spread(measured, name).items()}
    if (diverged := record.series.get("diverged_at")) is not None:
        values["diverged_seeds"] = float((diverged >= 0).sum())
    quantities = record.series.get("quantities", np.zeros((0, 1)))
    for label, blocks in zip(record.labels.get("quantity", []), quantities, strict=True):
        values[_as_name(label)] = float(np.median(blocks))
    # A store keeps infinity as 1.8e308; that there is no number is said by NaN.
    return [Point(name, 0, value if np.isfinite(value) else np.nan) for name, value in values.items()]


def record_points(record: Record) -> tuple[list[Point], int]:
    """Return every point to show, and the number of those left out for want of a finite value."""
    curves = [*_profiles(record), *_curves(record), *_layers_over_steps(record)]
    finite = [point for point in curves if np.isfinite(point.value)]
    return [*_finals(record), *finite], len(curves) - len(finite)
