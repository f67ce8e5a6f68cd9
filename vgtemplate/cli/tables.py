"""How trained arms look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.metrics import final_loss, gradient_slope, test_accuracy
from vgtemplate.prediction import compare_slopes
from vgtemplate.records import Record
from vgtemplate.text import write_number, write_spread


def _divergence(record: Record) -> str:
    """Say how many replicas diverged, and where the first of them did."""
    steps, layers = record.series["diverged_at"], record.series["diverged_layer"]
    diverged = [(int(step), int(layer)) for step, layer in zip(steps, layers, strict=True) if step >= 0]
    if not diverged:
        return f"0 of {len(record.seeds)}"
    step, layer = min(diverged)
    depth = len(record.labels["layer"]) or record.configuration["model"]["depth"]
    where = f", layer {layer}" if 0 < layer <= depth else ", output" if layer > depth else ""
    return f"{len(diverged)} of {len(record.seeds)} (step {step}{where})"


def usage(record: Record) -> str:
    """Say how fast an arm was trained and how much memory each of its networks took, as far as the record knows."""
    environment = record.environment
    known = [
        ("images_per_second", "images per second"),
        ("megabytes_a_replica", "MB of memory per seed"),
    ]
    return ", ".join(f"{environment[name]:,.0f} {words}" for name, words in known if name in environment)


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
        accuracy = test_accuracy(record) if "test_accuracy" in record.series else None
        slope = gradient_slope(record) if "gradient_rms" in record.series else None
        compared = compare_slopes(record)
        spreads = [None if values is None else list(values) for values in (final_loss(record), accuracy, slope)]
        rows.append(
            [
                escape(record.name),
                *("-" if values is None else escape(write_spread(values)) for values in spreads),
                "-" if compared is None else write_number(compared.predicted),
                _divergence(record),
                f"{record.wall_seconds:.1f} s",
            ]
        )
    return make_table(title, _COLUMNS, rows, width)
