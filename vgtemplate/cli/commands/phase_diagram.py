"""`vgt phase-diagram`: where an activation's gradients vanish, where they explode, and the line between."""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np

from vgtemplate.cli import complete
from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.config.catalogue import ACTIVATIONS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.prediction import theory_activation
from vgtemplate.text import plain_number, write_number
from vgtemplate.theory.phase import grid_around_critical
from vgtemplate.theory.phase import phase_diagram as phases

_ROWS = 6
_COLUMNS = (
    Column("sigma_b²", justify="right"),
    Column("sigma_w²", justify="right"),
    Column("g of weights of std g / sqrt(fan_in)", justify="right"),
)
_VARIANCE = click.FloatRange(0, 1e6, min_open=True)


@click.command("phase-diagram")
@click.argument("activation", metavar="ACTIVATION", shell_complete=complete.activations)
@click.option("--weights", type=_VARIANCE, help="Largest sigma_w².  [default: 3 critical]")
@click.option("--biases", type=_VARIANCE, default=0.5, show_default=True, help="Largest sigma_b².")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="[default: phase-diagram-ACTIVATION.png]")
@click.option("--json", "as_json", is_flag=True, help="Print the critical line as JSON instead of a table.")
def phase_diagram(activation: str, weights: float | None, biases: float, plot: Path | None, as_json: bool) -> None:
    """Draw the ordered phase (gradients vanish), the chaotic one (they explode) and the critical line.

    The axes are the variances of the weights (times fan_in) and of the biases. Prints the critical line as a table.
    """
    from vgtemplate.figures.theory import draw_phase_diagram, write_figure

    phi = theory_activation(check_name("activation", activation, ACTIVATIONS))
    if any(variance is not None and math.isnan(variance) for variance in (weights, biases)):
        raise UserError("nan is no variance; allowed: above 0, at most 1e6")
    weight_variances, bias_variances = grid_around_critical(phi, weights, biases)
    diagram = phases(phi, weight_variances, bias_variances)
    path = plot or Path(f"phase-diagram-{activation}.png")
    write_figure(path, draw_phase_diagram(diagram, activation))
    if as_json:
        line = zip(bias_variances.tolist(), diagram.critical.tolist(), strict=True)
        print_json([{"sigma_b_sq": at, "critical_sigma_w_sq": plain_number(found)} for at, found in line])
        return
    rows = []
    for row in (np.sqrt(np.linspace(0, 1, _ROWS)) * (len(bias_variances) - 1)).round().astype(int):
        found = diagram.critical[row]
        known = math.isfinite(found)
        gain = f"{math.sqrt(found):.4g}" if known else "-"
        rows.append([write_number(bias_variances[row]), f"{found:.4g}" if known else "none", gain])
    console = make_console()
    console.print(make_table(f"The critical line of {activation}", _COLUMNS, rows, console.width))
    console.print(f"drawn: {path}", markup=False, highlight=False)
