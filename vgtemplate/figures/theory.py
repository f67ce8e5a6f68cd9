"""Figures of the theory: a predicted profile with its band, a phase diagram, predicted beside measured slopes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.figures.records import LAYER_AXIS, finite
from vgtemplate.figures.style import GRID, INK, SERIES_COLOURS, start_figure
from vgtemplate.metrics.registry import log10
from vgtemplate.prediction import TOLERANCE, Comparison
from vgtemplate.theory.phase import PhaseDiagram
from vgtemplate.theory.profiles import Prediction

_FORMATS = (".png", ".svg", ".pdf")
_DPI = 120
_FEW = 30
"""Layers up to which each is marked."""
_STEEPEST = 0.3
"""Decades per layer at which a phase diagram's colours end."""


def draw_prediction(prediction: Prediction, title: str, width: int) -> Figure:
    """Draw the gradient with its band, which is that of `width` units per layer, and the signal, along the layers."""
    figure, (upper, lower) = start_figure((6.4, 6.0), rows=2, dpi=_DPI)
    layers = np.arange(1, len(prediction.q) + 1)
    marker = "o" if len(layers) <= _FEW else ""
    low, high = prediction.gradient_band
    upper.fill_between(layers, finite(low), finite(high), color=SERIES_COLOURS[0], alpha=0.2, linewidth=0)
    upper.plot(layers, finite(prediction.log10_gradient_rms), color=SERIES_COLOURS[0], marker=marker, markersize=3)
    upper.set_ylabel("log10 of RMS dL/dz,\nthe last hidden layer: 0")
    upper.set_title(f"Gradient; shaded: 19 of 20 networks of width {width}", fontsize=10, loc="left")
    lower.plot(layers, finite(prediction.log10_signal_rms), color=SERIES_COLOURS[1], marker=marker, markersize=3)
    lower.set_ylabel("log10 of RMS activation")
    lower.set_title("Signal", fontsize=10, loc="left")
    lower.set_xlabel(LAYER_AXIS)
    for axes in (upper, lower):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
        bottom, top = axes.get_ylim()
        # A line that hardly moves is to look so.
        if top - bottom < 1:
            axes.set_ylim((bottom + top - 1) / 2, (bottom + top + 1) / 2)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def draw_phase_diagram(diagram: PhaseDiagram, name: str) -> Figure:
    """Draw by how much the gradient of the activation `name` grows per layer, and the line where it stays the same."""
    weights, biases, critical, unbounded = diagram.sigma_w_sq, diagram.sigma_b_sq, diagram.critical, np.isinf(diagram.q)
    figure, (axes,) = start_figure((6.4, 4.8), dpi=_DPI)
    decades, scale = np.clip(log10(diagram.chi_1) / 2, -_STEEPEST, _STEEPEST), Normalize(-_STEEPEST, _STEEPEST)
    mesh = axes.pcolormesh(weights, biases, decades, cmap="RdBu_r", norm=scale, shading="gouraud", rasterized=True)
    figure.colorbar(mesh, ax=axes, label="gradient: powers of ten per layer, towards the input", extend="both")
    if unbounded.any():
        axes.contourf(weights, biases, unbounded, levels=[0.5, 1.5], colors="none", hatches=["//"])
        axes.plot([], [], color=INK, linewidth=0, marker="$//$", label="the signal grows without bound")
    inside = (critical >= weights[0]) & (critical <= weights[-1])
    if inside.any():
        line = np.where(inside, critical, np.nan)
        axes.plot(line, biases, color=INK, linewidth=2.2, label="critical: the gradient stays")
        if inside.sum() == 1:  # e.g. ReLU's, without biases only
            axes.plot(critical[inside], biases[inside], color=INK, marker="o", clip_on=False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=9)
    axes.set(xlabel="variance of the weights times fan_in, sigma_w²", ylabel="variance of the biases, sigma_b²")
    axes.set_title(f"{name}: blue, ordered, gradients vanish; red, chaotic, they explode", fontsize=10, loc="left")
    return figure


def draw_comparison(compared: Sequence[Comparison]) -> Figure:
    """Draw measured less predicted slope of every arm over the predicted one: a dot the median, a line the seeds."""
    figure, (axes,) = start_figure((6.4, 3.8), dpi=_DPI)
    axes.axhspan(-TOLERANCE, TOLERANCE, color=GRID, zorder=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    for is_plain, colour, label in (
        (True, SERIES_COLOURS[0], "plain, fully connected"),
        (False, SERIES_COLOURS[1], "normalised, with shortcuts, or convolutional"),
    ):
        chosen = [comparison for comparison in compared if comparison.is_plain == is_plain]
        if not chosen:
            continue
        slopes = np.array([comparison.predicted for comparison in chosen])
        errors = np.array([comparison.error for comparison in chosen])
        seeds = np.array([[min(comparison.measured), max(comparison.measured)] for comparison in chosen]).T - slopes
        axes.vlines(slopes, seeds[0], seeds[1], color=colour, linewidth=0.8, alpha=0.4)
        axes.plot(slopes, errors, color=colour, marker="o", markersize=4, linestyle="", label=label)
    axes.set(xlabel="predicted gradient slope (decades per layer)", ylabel="measured less predicted")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of its name's ending, whole or not at all.

    Raises:
        UserError: the ending is none that can be drawn, or the disk refuses.
    """
    if path.suffix.lower() not in _FORMATS:
        how, allowed = path.suffix or "a file without an ending", ", ".join(_FORMATS)
        raise UserError(f"{path}: cannot be drawn as {how}; allowed: {allowed}")
    try:
        write_whole(path, lambda file: figure.savefig(file, format=path.suffix[1:].lower()))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
