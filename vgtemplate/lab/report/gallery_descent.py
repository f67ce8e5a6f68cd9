"""The articles' figures of gradient descent, computed in NumPy: the update rule, and a path down a loss surface."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from vgtemplate.figures.style import FONT, INK, MUTED, SERIES_COLOURS, dress
from vgtemplate.lab.report.gallery_figures import SIGMOID, WIDTH, add_legend
from vgtemplate.records import Array

_RATE, _UPDATES = 4.0, 10
_STARTS = (1.0, 7.0)
"""Weights of the neuron: where the sigmoid is steep, and where it is saturated."""
_INPUTS = np.linspace(-2.5, 2.5, 41)
_TARGETS = np.sin(_INPUTS)
_SURFACE_RATE, _STEPS = 0.1, 400
_POINTS = ((0.35, -1.6), (1.9, -1.6))
"""Where the two descents begin, (w1, w2): they end in different valleys."""
_RANGE = (-2.2, 2.2)


def neuron_loss(weight: Array) -> tuple[Array, Array]:
    """Return loss and dL/dw of one sigmoid neuron with input 1 and target 0: L = sigmoid(w)^2 / 2."""
    return SIGMOID.function(weight) ** 2 / 2, SIGMOID.function(weight) * SIGMOID.derivative(weight)


def descend_neuron(weight: float) -> Array:
    """Return the neuron's weight before the first update and after each, (11,)."""
    path = [weight]
    for _ in range(_UPDATES):
        path.append(path[-1] - _RATE * float(neuron_loss(np.array(path[-1]))[1]))
    return np.array(path)


def draw_update_rule() -> Figure:
    """Draw what ten updates do to one weight where its gradient is large, and where next to none is left."""
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    axes = dress(figure.add_subplot())
    weights = np.linspace(-4, 8, 401)
    axes.plot(weights, neuron_loss(weights)[0], color=INK, linewidth=1.2)
    for start, colour in zip(_STARTS, SERIES_COLOURS, strict=False):
        path = descend_neuron(start)
        losses, slopes = neuron_loss(path)
        words = f"dL/dw = {slopes[0]:.2g}: from {path[0]:g} to {path[-1]:.3g}"
        axes.plot(path, losses, color=colour, marker="o", markersize=4, linewidth=1, label=words)
    rule = rf"$w^* = w - \eta\,\frac{{\partial L}}{{\partial w}}$,   $\eta$ = {_RATE:g}"
    axes.set_title(rule, fontsize=FONT + 3, pad=12)
    axes.set(xlim=(-4, 8), ylim=(-0.02, 0.62), xlabel="weight w", ylabel="loss L")
    add_legend(axes, loc="upper left")
    return figure


def surface_loss(first: Array, second: Array) -> Array:
    """Return the mean of (w2 tanh(w1 x) - sin x)^2 over 41 inputs: two neurons in a row; w1, w2 of any one shape."""
    outputs = second[..., None] * np.tanh(first[..., None] * _INPUTS)
    return np.asarray(((outputs - _TARGETS) ** 2).mean(axis=-1))


def surface_gradient(first: float, second: float) -> tuple[float, float]:
    """Return the loss surface's derivatives by w1 and w2."""
    hidden = np.tanh(first * _INPUTS)
    residual = 2 * (second * hidden - _TARGETS)
    by_first = (residual * second * (1 - hidden**2) * _INPUTS).mean()
    return float(by_first), float((residual * hidden).mean())


def descend_surface(first: float, second: float) -> Array:
    """Return the weights before the first of 400 steps of gradient descent and after each, (401, 2)."""
    path = [(first, second)]
    for _ in range(_STEPS):
        slopes = surface_gradient(*path[-1])
        path.append((path[-1][0] - _SURFACE_RATE * slopes[0], path[-1][1] - _SURFACE_RATE * slopes[1]))
    return np.array(path)


def _draw_relief(axes: Any, first: Array, second: Array, loss: Array) -> None:
    """Draw the surface in colours that stand out from a light and from a dark page."""
    colours = ListedColormap(colormaps["viridis"](np.linspace(0.3, 0.9, 64)))
    options = {"cmap": colours, "alpha": 0.75, "linewidth": 0.2, "edgecolor": "#8888", "antialiased": True}
    axes.plot_surface(first, second, loss, **options)
    axes.view_init(elev=48, azim=-115)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
    axes.tick_params(labelsize=FONT - 1, pad=0)


def draw_loss_surface() -> Figure:
    """Draw the loss over two weights as a relief and as a map, and two paths that gradient descent takes on it."""
    figure = Figure(figsize=(WIDTH, 7.2))
    relief: Any = figure.add_axes((0.0, 0.48, 0.94, 0.54), projection="3d", computed_zorder=False)
    plan = dress(figure.add_axes((0.13, 0.07, 0.82, 0.33)))
    grid = np.linspace(*_RANGE, 33)
    first, second = np.meshgrid(grid, grid)
    loss = surface_loss(first, second)
    _draw_relief(relief, first, second, loss)
    levels = np.geomspace(loss.min(), loss.max(), 12)
    plan.contour(first, second, loss, levels=levels, colors=MUTED, linewidths=0.7)
    for start, colour in zip(_POINTS, (SERIES_COLOURS[1], SERIES_COLOURS[3]), strict=True):
        path = descend_surface(*start)
        heights = surface_loss(path[:, 0], path[:, 1])
        words = f"loss {heights[0]:.2g} to {heights[-1]:.2g}"
        relief.plot(path[:, 0], path[:, 1], heights, color=colour, linewidth=2, zorder=5)
        plan.plot(path[:, 0], path[:, 1], color=colour, linewidth=2, label=words)
        plan.plot(*path[0], color=colour, marker="o")
        plan.plot(*path[-1], color=colour, marker="*", markersize=11)
    for axes in (relief, plan):
        axes.set(xlim=_RANGE, ylim=_RANGE, xticks=range(-2, 3), yticks=range(-2, 3))
        axes.set_xlabel("weight $w_1$", fontsize=FONT)
        axes.set_ylabel("weight $w_2$", fontsize=FONT)
    add_legend(plan, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return figure
