"""How trained arms look in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.metrics.initial import gradient_slope
from vgtemplate.metrics.trained import final_loss, test_accuracy, test_score
from vgtemplate.prediction import compare_slopes
from vgtemplate.records import Array, Record
from vgtemplate.text import plain_number, write_number, write_spread

_NONE: Array = np.empty((0, 0))


def _divergence(record: Record) -> str:
    """Say how many replicas diverged, and where the first of them did."""
    steps, layers = record.series["diverged_at"], record.series["diverged_layer"]
    diverged = [(int(step), int(layer)) for step, layer in zip(steps, layers, strict=True) if step >= 0]
    if not diverged:
        return f"0 of {len(record.seeds)}"
    step, layer = min(diverged)
    depth = len(record.labels["layer"]) or record.configuration.get("model", {}).get("depth", 0)
    where = f", layer {layer}" if 0 < layer <= depth else ", output" if layer > depth else ""
    return f"{len(diverged)} of {len(record.seeds)} (step {step}{where})"


def logged(record: Record) -> str:
    """Write what a LightningModule of one's own has logged on the test data, but for what stands in the table.

    Median [min, max] over the seeds.
    """
    names, values = record.labels.get("logged", []), record.series.get("logged", _NONE)
    shown = record.series.get("test_accuracy")
    rows = [
        (name, column)
        for name, column in zip(names, values.T, strict=True)
        if shown is None or not np.array_equal(column, shown, equal_nan=True)
    ]
    return ", ".join(f"{name} {write_spread(list(column))}" for name, column in rows)


def usage(record: Record) -> str:
    """Say how fast an arm was trained and how much memory each of its networks took, as far as the record knows."""
    environment = record.environment
    shown = "examples" if record.configuration["data"].get("factory") else "images"
    known = [
        ("images_per_second", f"{shown} per second"),
        ("megabytes_a_replica", "MB of memory per seed"),
    ]
    return ", ".join(f"{environment[name]:,.0f} {words}" for name, words in known if name in environment)


def _spread(values: Array | None) -> str:
    return "-" if values is None else escape(write_spread(list(values)))


def _score(record: Record) -> str:
    """Write the test accuracy; where another score was asked for, that with its name."""
    if "test_accuracy" in record.series:
        return _spread(test_accuracy(record))
    if "test_score" not in record.series:
        return "-"
    name = str(record.configuration["training"]["score"]).rpartition(":")[2]
    return f"{escape('r2' if name == 'auto' else name)} {_spread(test_score(record))}"


_COLUMNS = (
    Column("arm", folds=True),
    Column("training loss", rank=3),
    Column("test accuracy"),
    Column("gradient slope", rank=1),
    Column("in theory", rank=4),
    Column("diverged", rank=2),
    Column("time", rank=5),
)


def arm_table(records: Sequence[Record], title: str, width: int) -> Group:
    """Return the table of trained arms, no wider than `width`: median [min, max] over the seeds."""
    rows = []
    for record in records:
        slope = gradient_slope(record) if "gradient_rms" in record.series else None
        compared = compare_slopes(record)
        rows.append(
            [
                escape(record.name),
                _spread(final_loss(record)),
                _score(record),
                _spread(slope),
                "-" if compared is None else write_number(compared.predicted),
                _divergence(record),
                f"{record.wall_seconds:.1f} s",
            ]
        )
    return make_table(
        title, _COLUMNS, rows, width, "\n".join(escape(text) for text in map(_bad_start, records) if text)
    )


_FAR = 3.0
"""How many times the loss of guessing a first loss is that is worth a word."""


def _bad_start(record: Record) -> str:
    """Say of a network with shortcuts that it begins far above the loss of guessing, which its result suffers from."""
    configuration, classes = record.configuration, record.dataset.get("classes", ())
    is_plain = configuration["training"].get("loss") == "cross_entropy" and len(classes) > 1
    if not (is_plain and configuration.get("model", {}).get("residual") and "train_loss" in record.series):
        return ""
    first, guessing = float(np.median(record.series["train_loss"][:, 0])), math.log(len(classes))
    if not math.isfinite(first) or first < _FAR * guessing:
        return ""
    return (
        f"{record.name} begins at a loss of {write_number(first)}, where guessing has {write_number(guessing)}: its "
        "branches are not scaled, so every block makes the signal larger; part of its training goes into undoing that"
    )


def describe_arm(record: Record, folder: str) -> dict[str, Any]:
    """Return what an arm's row says, one number per seed, as plain data; `folder` holds the record."""
    slope = gradient_slope(record) if "gradient_rms" in record.series else None
    compared = compare_slopes(record)
    series = {"training_loss": final_loss(record), "test_accuracy": None, "test_score": None, "gradient_slope": slope}
    if "test_accuracy" in record.series:
        series["test_accuracy"] = test_accuracy(record)
    if "test_score" in record.series:
        series["test_score"] = test_score(record)
    return {
        "arm": record.name,
        "key": record.key,
        "folder": folder,
        "dataset": record.dataset.get("name"),
        "seeds": list(record.seeds),
        **{name: None if found is None else [plain_number(each) for each in found] for name, found in series.items()},
        "gradient_slope_in_theory": None if compared is None else plain_number(compared.predicted),
        "diverged_at": [int(step) for step in record.series["diverged_at"]],
        "diverged_layer": [int(layer) for layer in record.series["diverged_layer"]],
        "logged": {
            name: [plain_number(each) for each in values]
            for name, values in zip(record.labels.get("logged", []), record.series.get("logged", _NONE).T, strict=True)
        },
        "notes": [*filter(None, [_bad_start(record)]), *record.environment.get("not_seen", [])],
        "seconds": record.wall_seconds,
    }
