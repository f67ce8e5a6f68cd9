"""Draws the scaling suite: step time and memory against what varies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.clock import Spread
from benchmarks.suite import Row


def draw_scaling(rows: Sequence[Row], title: str, path: Path) -> None:
    """Write a figure with one column per quantity that varies: milliseconds per step above, megabytes below."""
    names = list(dict.fromkeys(row.work for row in rows))
    figure = Figure(figsize=(4 * len(names), 6), layout="constrained")
    axes = figure.subplots(2, len(names), sharex="col", squeeze=False)
    for column, name in enumerate(names):
        chosen = [row for row in rows if row.work == name]
        values = [float(row.contestant) for row in chosen]
        steps = [row.values["ms per step"] for row in chosen]
        spreads = [step for step in steps if isinstance(step, Spread)]
        medians = [spread.median for spread in spreads]
        upper, lower = axes[0, column], axes[1, column]
        upper.plot(values, medians, "o-", label="measured")
        upper.fill_between(values, [each.least for each in spreads], [each.most for each in spreads], alpha=0.25)
        first = medians[0] / values[0]
        upper.plot(values, [first * value for value in values], ":", color="grey", label="in proportion to the first")
        lower.plot(values, [float(str(row.values["MB"])) for row in chosen], "s-", color="tab:red")
        upper.set(xscale="log", yscale="log", ylabel="ms per step" if column == 0 else "")
        lower.set(xscale="log", xlabel=name, ylabel="MB" if column == 0 else "")
        upper.grid(alpha=0.3)
        lower.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
