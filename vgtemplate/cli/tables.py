"""How trained arms look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.metrics.initial import gradient_slope
from vgtemplate.metrics.trained import final_loss, test_accuracy, test_score
from vgtemplate.prediction import compare_slopes
from vgtemplate.records import Array, Record
from vgtemplate.text import write_number, write_spread


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
    names, values = record.labels.get("logged", []), record.series.get("logged", np.empty((0, 0)))
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
    return make_table(title, _COLUMNS, rows, width)
