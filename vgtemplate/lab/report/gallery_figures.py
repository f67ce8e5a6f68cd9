"""The articles' figures of functions, drawn from formulas in NumPy. Figures only; never torch, never pyplot.

Saturated means what the register says: a derivative below 10 % of its maximum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vgtemplate.figures.style import GRID, INK, MUTED, SERIES_COLOURS
from vgtemplate.records import Array

FONT = 10
WIDTH = 4.9
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
RRELU_RANGE = (1 / 8, 1 / 3)
"""Xu et al. 2015."""
SATURATED = 0.1

Function = Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def sigmoid_slope(z: Array) -> Array:
    """Return sigmoid's derivative, at most 1/4."""
    return sigmoid(z) * sigmoid(-z)


def tanh_slope(z: Array) -> Array:
    """Return tanh's derivative, at most 1."""
    return np.asarray(1 - np.tanh(z) ** 2)


def leaky_relu(z: Array, slope: float) -> Array:
    """Return z where it is positive, slope * z elsewhere; slope 0 is ReLU."""
    return np.where(z > 0, z, slope * z)


def elu(z: Array) -> Array:
    """Return z where it is positive, exp(z) - 1 elsewhere."""
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def selu(z: Array) -> Array:
    """Return the scaled ELU of Klambauer et al. 2017."""
    return np.asarray(_SELU_SCALE * np.where(z > 0, z, _SELU_ALPHA * np.expm1(np.minimum(z, 0))))


def saturation_edge(slope: Function) -> float:
    """Return the |z| beyond which an even, falling derivative is below SATURATED of its maximum at 0."""
    low, high = 0.0, 50.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        above = float(slope(np.array(middle))) > SATURATED * float(slope(np.array(0.0)))
        low, high = (middle, high) if above else (low, middle)
    return high


def start(rows: int = 1, columns: int = 1, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for each in axes:
        each.tick_params(labelsize=FONT - 1)
        each.grid(color=GRID, linewidth=0.6)
        each.set_axisbelow(True)
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
    return figure, axes


def add_legend(axes: Axes, columns: int = 1) -> None:
    """Add a legend without a frame where there is most room."""
    axes.legend(fontsize=FONT - 1, frameon=False, ncols=columns)


def draw_saturation() -> Figure:
    """Draw sigmoid and tanh with their derivatives, the saturated zones shaded."""
    figure, axes = start(rows=2, height=2.3)
    z = np.linspace(-6, 6, 401)
    for each, name, function, slope in (
        (axes[0], "sigmoid", sigmoid, sigmoid_slope),
        (axes[1], "tanh", np.tanh, tanh_slope),
    ):
        edge = saturation_edge(slope)
        for side in (-1, 1):
            each.axvspan(side * edge, side * 6, color=SERIES_COLOURS[3], alpha=0.13, linewidth=0)
        each.plot(z, function(z), color=SERIES_COLOURS[0], linewidth=2, label=name)
        each.plot(z, slope(z), color=SERIES_COLOURS[1], linewidth=2, label="its derivative")
        each.set_title(f"{name}: saturated beyond |z| = {edge:.2f}", fontsize=FONT, loc="left")
        each.set_xlim(-6, 6)
        add_legend(each)
    axes[1].set_xlabel("pre-activation z", fontsize=FONT)
    return figure


def spread_of(saturated: float) -> float:
    """Return the deviation of normal pre-activations of which a share `saturated` in (0, 1) saturates a sigmoid."""
    return saturation_edge(sigmoid_slope) / -NormalDist().inv_cdf(saturated / 2)


def draw_good_range(without: float | None) -> Figure:
    """Draw where pre-activations lie on the sigmoid: under batch normalisation N(0, 1), without it wider.

    Args:
        without: the measured share of saturated pre-activations without it, which tells their deviation; None: not
            measured yet, and not drawn.
    """
    figure, (axes,) = start(height=3.0)
    z = np.linspace(-12, 12, 601)
    edge = saturation_edge(sigmoid_slope)
    axes.axvspan(-edge, edge, color=SERIES_COLOURS[2], alpha=0.13, linewidth=0)
    axes.text(0, 1.03, "good range", fontsize=FONT - 1, color=MUTED, ha="center")
    axes.plot(z, sigmoid(z), color=SERIES_COLOURS[0], linewidth=2, label="sigmoid")
    axes.plot(z, NormalDist().pdf(0) * np.exp(-(z**2) / 2), color=SERIES_COLOURS[1], label="density of z with BN")
    if without is not None and 0 < without < 1:
        deviation = spread_of(without)
        density = np.exp(-((z / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        label = f"without: {without:.0%} saturated"
        axes.plot(z, density, color=SERIES_COLOURS[1], linestyle="--", label=label)
    axes.set_xlim(-12, 12)
    axes.set_ylim(0, 1.12)
    axes.set_xlabel("pre-activation z", fontsize=FONT)
    axes.legend(fontsize=FONT - 1, frameon=False, loc="center left")
    return figure


def draw_derivatives() -> Figure:
    """Draw the derivatives of sigmoid, tanh and ReLU in one plot."""
    figure, (axes,) = start()
    z = np.linspace(-5, 5, 401)
    axes.plot(z, sigmoid_slope(z), color=SERIES_COLOURS[0], linewidth=2, label="sigmoid, at most 1/4")
    axes.plot(z, tanh_slope(z), color=SERIES_COLOURS[1], linewidth=2, label="tanh, at most 1")
    axes.plot([-5, 0], [0, 0], color=SERIES_COLOURS[2], linewidth=2, label="ReLU, 0 or 1")
    axes.plot([0, 5], [1, 1], color=SERIES_COLOURS[2], linewidth=2)
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.05, 1.7)
    axes.set_xlabel("pre-activation z", fontsize=FONT)
    axes.set_ylabel("derivative", fontsize=FONT)
    axes.legend(fontsize=FONT - 1, frameon=False, loc="upper left", ncols=1)
    return figure


def draw_relu_family() -> Figure:
    """Draw ReLU, Leaky ReLU, RReLU with its range, PReLU, ELU and SELU, each in a panel."""
    figure, axes = start(rows=3, columns=2, height=1.8)
    z = np.linspace(-3, 2, 251)
    curves: list[tuple[str, Array]] = [
        ("ReLU", leaky_relu(z, 0.0)),
        ("Leaky ReLU, slope 0.01", leaky_relu(z, 0.01)),
        ("RReLU, slope in [1/8, 1/3]", leaky_relu(z, sum(RRELU_RANGE) / 2)),
        ("PReLU, slope learned from 1/4", leaky_relu(z, 0.25)),
        ("ELU", elu(z)),
        ("SELU", selu(z)),
    ]
    for index, (each, (name, values)) in enumerate(zip(axes, curves, strict=True)):
        if name.startswith("RReLU"):
            low, high = (leaky_relu(z, slope) for slope in RRELU_RANGE)
            each.fill_between(z, low, high, color=SERIES_COLOURS[index], alpha=0.25, linewidth=0)
        each.plot(z, values, color=SERIES_COLOURS[index], linewidth=2)
        each.set_title(name, fontsize=FONT - 1, loc="left")
        each.set_ylim(-2, 2.2)
        each.set_xlim(-3, 2)
    return figure


def widest_interval(weight: float) -> float:
    """Return how wide the interval of inputs a is on which |w sigmoid'(w a + b)| >= 1, for the best bias; 0 for none.

    (Nielsen, Neural Networks and Deep Learning, chapter 5, problem 1: (2/|w|) ln(|w| (1 + sqrt(1 - 4/|w|)) / 2 - 1).)
    """
    size = abs(weight)
    if size <= 4:
        return 0.0
    return 2 / size * math.log(size * (1 + math.sqrt(1 - 4 / size)) / 2 - 1)


def draw_widest_interval() -> Figure:
    """Draw on how narrow a range of inputs a sigmoid neuron can pass more gradient than it gets."""
    figure, (axes,) = start()
    weights = np.linspace(0, 40, 801)
    widths = np.array([widest_interval(float(weight)) for weight in weights])
    best = int(widths.argmax())
    axes.plot(weights, widths, color=SERIES_COLOURS[0], linewidth=2)
    axes.plot(weights[best], widths[best], marker="o", color=SERIES_COLOURS[1])
    words = f"at most {widths[best]:.2f}, at |w| = {weights[best]:.1f}"
    axes.annotate(words, (weights[best], widths[best]), (10, -4), textcoords="offset points", fontsize=FONT - 1)
    axes.axvline(4, color=INK, linewidth=0.8, linestyle=":")
    axes.text(4.4, 0.02, "none up to |w| = 4", fontsize=FONT - 1, color=MUTED)
    axes.set_xlabel("weight |w|", fontsize=FONT)
    axes.set_ylabel("width of the inputs a with |w σ'(wa+b)| ≥ 1", fontsize=FONT - 1)
    axes.set_ylim(0, 0.55)
    axes.set_xlim(0, 40)
    return figure
