"""The articles' figures of functions, drawn from formulas in NumPy. Figures only; never torch, never pyplot.

Saturated means what docs/register.md says: a derivative below 10 % of its maximum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vgtemplate.figures.style import FONT, INK, MUTED, SERIES_COLOURS, start_figure
from vgtemplate.theory.gaussian import Function
from vgtemplate.theory.numpy_activations import FORMULAS, LEAKY_SLOPE, RRELU_RANGE, leaky

WIDTH = 4.9
"""Of every figure, in inches."""
SIGMOID, TANH = FORMULAS["sigmoid"], FORMULAS["tanh"]
_SATURATED = 0.1


def saturation_edge(slope: Function) -> float:
    """Return the |z| beyond which an even, falling derivative is below a tenth of its maximum at 0."""
    low, high = 0.0, 50.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        above = float(slope(np.array(middle))) > _SATURATED * float(slope(np.array(0.0)))
        low, high = (middle, high) if above else (low, middle)
    return high


def add_legend(axes: Axes, **options: Any) -> None:
    """Add a legend without a frame, where there is most room unless the options, matplotlib's, name a place."""
    axes.legend(fontsize=FONT - 1, frameon=False, **options)


def draw_saturation() -> Figure:
    """Draw sigmoid and tanh with their derivatives, the saturated zones shaded."""
    figure, axes = start_figure((WIDTH, 4.6), rows=2)
    z = np.linspace(-6, 6, 401)
    for each, name, activation in ((axes[0], "sigmoid", SIGMOID), (axes[1], "tanh", TANH)):
        edge = saturation_edge(activation.derivative)
        for side in (-1, 1):
            each.axvspan(side * edge, side * 6, color=SERIES_COLOURS[3], alpha=0.13, linewidth=0)
        each.plot(z, activation.function(z), color=SERIES_COLOURS[0], linewidth=2, label=name)
        each.plot(z, activation.derivative(z), color=SERIES_COLOURS[1], linewidth=2, label="its derivative")
        each.set_title(f"{name}: saturated beyond |z| = {edge:.2f}", fontsize=FONT, loc="left")
        each.set_xlim(-6, 6)
        add_legend(each)
    axes[1].set_xlabel("pre-activation z")
    return figure


def spread_of(saturated: float) -> float:
    """Return the deviation of normal pre-activations of which a share `saturated` in (0, 1) saturates a sigmoid."""
    return saturation_edge(SIGMOID.derivative) / -NormalDist().inv_cdf(saturated / 2)


def draw_good_range(saturated: Mapping[str, float]) -> Figure:
    """Draw where pre-activations lie on the sigmoid: under batch normalisation N(0, 1), in other networks wider.

    The measured share of `saturated` pre-activations tells the deviation of a network's; 0 and 1 tell nothing.
    """
    figure, (axes,) = start_figure((WIDTH, 3.0))
    z = np.linspace(-12, 12, 601)
    edge = saturation_edge(SIGMOID.derivative)
    axes.axvspan(-edge, edge, color=SERIES_COLOURS[2], alpha=0.13, linewidth=0)
    axes.text(0, 1.03, "good range", fontsize=FONT - 1, color=MUTED, ha="center")
    axes.plot(z, SIGMOID.function(z), color=SERIES_COLOURS[0], linewidth=2, label="sigmoid")
    axes.plot(z, NormalDist().pdf(0) * np.exp(-(z**2) / 2), color=SERIES_COLOURS[1], label="density of z with BN")
    for name, share in saturated.items():
        if 0 < share < 1:
            deviation = spread_of(share)
            density = np.exp(-((z / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
            axes.plot(z, density, color=SERIES_COLOURS[1], linestyle="--", label=f"{name}: {share:.0%} saturated")
    axes.set(xlim=(-12, 12), ylim=(0, 1.12), xlabel="pre-activation z")
    add_legend(axes, loc="center left")
    return figure


def draw_derivatives() -> Figure:
    """Draw the derivatives of sigmoid, tanh and ReLU in one plot."""
    figure, (axes,) = start_figure((WIDTH, 2.6))
    z = np.linspace(-5, 5, 401)
    axes.plot(z, SIGMOID.derivative(z), color=SERIES_COLOURS[0], linewidth=2, label="sigmoid, at most 1/4")
    axes.plot(z, TANH.derivative(z), color=SERIES_COLOURS[1], linewidth=2, label="tanh, at most 1")
    axes.plot([-5, 0], [0, 0], color=SERIES_COLOURS[2], linewidth=2, label="ReLU, 0 or 1")
    axes.plot([0, 5], [1, 1], color=SERIES_COLOURS[2], linewidth=2)
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.set(ylim=(-0.05, 1.7), xlabel="pre-activation z", ylabel="derivative")
    add_legend(axes, loc="upper left")
    return figure


def draw_relu_family() -> Figure:
    """Draw ReLU, Leaky ReLU, RReLU with its range, PReLU, ELU and SELU, each in a panel."""
    figure, axes = start_figure((WIDTH, 5.4), rows=3, columns=2)
    z = np.linspace(-3, 2, 251)
    titles = [
        ("relu", "ReLU"),
        ("leaky_relu", f"Leaky ReLU, slope {LEAKY_SLOPE}"),
        ("rrelu", "RReLU, slope in [1/8, 1/3]"),
        ("prelu", "PReLU, slope learned from 1/4"),
        ("elu", "ELU"),
        ("selu", "SELU"),
    ]
    for index, (each, (name, title)) in enumerate(zip(axes, titles, strict=True)):
        if name == "rrelu":
            low, high = (leaky(slope).function(z) for slope in RRELU_RANGE)
            each.fill_between(z, low, high, color=SERIES_COLOURS[index], alpha=0.25, linewidth=0)
        each.plot(z, FORMULAS[name].function(z), color=SERIES_COLOURS[index], linewidth=2)
        each.set_title(title, fontsize=FONT - 1, loc="left")
        each.set(xlim=(-3, 2), ylim=(-2, 2.2))
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
    figure, (axes,) = start_figure((WIDTH, 2.6))
    weights = np.linspace(0, 40, 801)
    widths = np.array([widest_interval(float(weight)) for weight in weights])
    best = int(widths.argmax())
    axes.plot(weights, widths, color=SERIES_COLOURS[0], linewidth=2)
    axes.plot(weights[best], widths[best], marker="o", color=SERIES_COLOURS[1])
    words = f"at most {widths[best]:.2f}, at |w| = {weights[best]:.1f}"
    axes.annotate(words, (weights[best], widths[best]), (10, -4), textcoords="offset points", fontsize=FONT - 1)
    axes.axvline(4, color=INK, linewidth=0.8, linestyle=":")
    axes.text(4.4, 0.02, "none up to |w| = 4", fontsize=FONT - 1, color=MUTED)
    axes.set_ylabel("width of the inputs a with |w σ'(wa+b)| ≥ 1", fontsize=FONT - 1)
    axes.set(xlim=(0, 40), ylim=(0, 0.55), xlabel="weight |w|")
    return figure
