"""How trained arms look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

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
        ("images_per_second", "images a second"),
        ("megabytes_a_replica", "MB of memory a seed"),
    ]
    return ", ".join(f"{environment[name]:,.0f} {words}" for name, words in known if name in environment)


def arm_table(records: Sequence[Record], title: str) -> Table:
    """Return the table of trained arms: median [min, max] over the seeds."""

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for column in ("training loss", "test accuracy", "gradient slope", "in theory", "diverged", "time"):
        table.add_column(column, no_wrap=True)
    for record in records:
        accuracy = test_accuracy(record) if "test_accuracy" in record.series else None
        slope = gradient_slope(record) if "gradient_rms" in record.series else None
        compared = compare_slopes(record)
        table.add_row(
            record.name,
            escape(write_spread(list(final_loss(record)))),
            "-" if accuracy is None else escape(write_spread(list(accuracy))),
            "-" if slope is None else escape(write_spread(list(slope))),
            "-" if compared is None else write_number(compared.predicted),
            _divergence(record),
            f"{record.wall_seconds:.1f} s",
        )
    return table
