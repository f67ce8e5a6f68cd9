"""`vgt phase-diagram`: where an activation's gradients vanish, where they explode, and the line between."""

from __future__ import annotations

import math
from pathlib import Path

import click

_POINTS = 160
"""Of the grid, along either axis."""
_ROWS = 6
_BEYOND = 3.0
"""The diagram's largest weight variance, in units of the critical one without biases."""
_BIASES = 0.5


@click.command("phase-diagram")
@click.argument("activation", metavar="ACTIVATION")
@click.option("--weights", type=click.FloatRange(min=0, min_open=True), help="Largest sigma_w².  [default: 3 critical]")
@click.option("--biases", type=click.FloatRange(min=0, min_open=True), default=_BIASES, show_default=True,
              help="Largest sigma_b².")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="[default: phase-diagram-ACTIVATION.png]")
def phase_diagram(activation: str, weights: float | None, biases: float, plot: Path | None) -> None:
    """Draw the ordered phase (gradients vanish), the chaotic one (they explode) and the critical line.

    Over the variances of weights, times fan_in, and biases; print the critical line.
    """
    import numpy as np
    from rich import box
    from rich.table import Table

    from vgtemplate.cli.tables import make_console
    from vgtemplate.report.theory_figures import draw_phase_diagram, write_figure
    from vgtemplate.theory import phase
    from vgtemplate.theory.critical import critical_sigma_w_sq
    from vgtemplate.theory.numpy_activations import find_activation

    phi = find_activation(activation)
    largest = weights or _BEYOND * critical_sigma_w_sq(phi)
    # Closer together towards 0, where the critical line is steep.
    sigma_b_sq = biases * np.linspace(0, 1, _POINTS) ** 2
    diagram = phase.phase_diagram(phi, np.linspace(largest / _POINTS, largest, _POINTS), sigma_b_sq)
    critical = np.array([critical_sigma_w_sq(phi, variance) for variance in sigma_b_sq])
    path = plot or Path(f"phase-diagram-{activation}.png")
    write_figure(path, draw_phase_diagram(diagram, critical, activation))
    table = Table(title=f"The critical line of {activation}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("sigma_b²", "sigma_w²", "g of weights of std g / sqrt(fan_in)"):
        table.add_column(column, justify="right")
    for row in (np.sqrt(np.linspace(0, 1, _ROWS)) * (_POINTS - 1)).round().astype(int):
        found = critical[row]
        known = math.isfinite(found)
        table.add_row(
            f"{sigma_b_sq[row]:.3g}",
            f"{found:.4g}" if known else "none",
            f"{math.sqrt(found):.4g}" if known else "-",
        )
    console = make_console()
    console.print(table)
    console.print(f"drawn: {path}", markup=False, highlight=False)
