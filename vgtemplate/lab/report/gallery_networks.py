"""The articles' figures of networks: learning speed in training, the chain-rule product, the residual unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.figures.records import median_of_seeds
from vgtemplate.figures.style import FONT, INK, MUTED, PAPER, SERIES_COLOURS, start_figure
from vgtemplate.lab.report.gallery_figures import SIGMOID, WIDTH, add_legend
from vgtemplate.records import Array, Record

_CHAINS, _DEPTH = 1000, 20
_PERCENTILES = (5, 25, 50, 75, 95)
_SEED = 0


def draw_learning_speed(records: Mapping[str, Record]) -> Figure:
    """Draw the norm of each hidden layer's bias gradient against the epochs, one panel per network, on a log axis."""
    figure, axes = start_figure((WIDTH, 2.5 * len(records)), rows=len(records))
    for each, (title, record) in zip(axes, records.items(), strict=True):
        epochs, norms = record.series["probe_steps"], np.asarray(record.series["bias_grad_norm"], dtype=np.float64)
        for layer in range(norms.shape[2]):
            colour = SERIES_COLOURS[layer % len(SERIES_COLOURS)]
            median = median_of_seeds(norms[:, :, layer])
            each.semilogy(epochs, norms[:, :, layer].T, color=colour, linewidth=0.5, alpha=0.3)
            each.semilogy(epochs, median, color=colour, linewidth=2, label=f"hidden layer {layer + 1}")
        each.set_title(title, fontsize=FONT, loc="left")
        each.set(xlim=(0, float(epochs[-1])), ylabel="norm of dC/db")
        add_legend(each, loc="upper right", ncols=2)
    axes[-1].set_xlabel("epochs of gradient descent")
    return figure


def draw_products() -> tuple[Array, Array]:
    """Return depths 1 to 20 and |prod_j w_j sigmoid'(z_j)| of 1,000 chains, (20, 1000); w and z from N(0, 1)."""
    numbers = generator(_SEED, Stream.CHECKS, _DEPTH)
    weights, inputs = numbers.standard_normal((_DEPTH, _CHAINS)), numbers.standard_normal((_DEPTH, _CHAINS))
    factors = weights * SIGMOID.derivative(inputs)
    return np.arange(1, _DEPTH + 1), np.abs(np.cumprod(factors, axis=0))


def _arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    # An open head: matplotlib leaves black fillings to the browser, which would not follow the page's scheme.
    arrow = FancyArrowPatch(begin, end, arrowstyle="->", connectionstyle=f"arc3,rad={bend}", mutation_scale=10)
    arrow.set(color=INK, linewidth=1.1)
    axes.add_patch(arrow)


def _blank(axes: Axes, width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()


def draw_chain() -> Figure:
    """Draw one neuron per layer with the factors of its gradient, and the product of such factors against the depth."""
    figure, axes = start_figure((WIDTH, 4.6), rows=2)
    chain, plot = axes
    _blank(chain, 10, 4)
    for index in range(4):
        x = 1.2 + 2.3 * index
        chain.add_patch(Circle((x, 2.7), 0.48, facecolor=PAPER, edgecolor=INK, linewidth=1.1))
        chain.text(x, 2.7, f"$b_{index + 1}$", ha="center", va="center", fontsize=FONT)
        after = x + 0.5
        _arrow(chain, (after, 2.7), (after + 1.28, 2.7))
        label = f"$w_{index + 2}$" if index < 3 else "$C$"
        chain.text(after + 0.6, 2.95, label, ha="center", fontsize=FONT)
        chain.text(x, 1.8, f"σ′($z_{index + 1}$)", ha="center", fontsize=FONT, color=SERIES_COLOURS[0])
    # The prime as text: mathtext takes it from a font that a browser does not have.
    terms = " ".join(f"{f'$w_{index}$ ' if index > 1 else ''}σ′($z_{index}$)" for index in range(1, 5))
    equation = rf"$\frac{{\partial C}}{{\partial b_1}}$ = {terms} $\frac{{\partial C}}{{\partial a_4}}$"
    chain.text(5, 0.7, equation, ha="center", va="center", fontsize=FONT + 1)
    depths, products = draw_products()
    low, quarter, median, three, high = np.percentile(products, _PERCENTILES, axis=1)
    plot.fill_between(depths, low, high, color=SERIES_COLOURS[0], alpha=0.15, linewidth=0, label="9 of 10 chains")
    plot.fill_between(depths, quarter, three, color=SERIES_COLOURS[0], alpha=0.3, linewidth=0, label="half of them")
    plot.plot(depths, median, color=SERIES_COLOURS[0], linewidth=2, label="median")
    label = "1/4 per layer: the most for |w| = 1"
    plot.plot(depths, 0.25**depths, color=SERIES_COLOURS[1], linestyle="--", label=label)
    plot.set(yscale="log", xlim=(1, _DEPTH), xlabel="factors w σ'(z), both drawn from N(0, 1)", ylabel="|product|")
    add_legend(plot, loc="lower left")
    return figure


def draw_residual_unit() -> Figure:
    """Draw the residual unit, and the two paths on which its gradient comes down."""
    figure, (axes,) = start_figure((WIDTH, 3.0))
    _blank(axes, 10, 6)
    axes.text(0.35, 3.2, "$x_l$", ha="center", va="center", fontsize=FONT + 2)
    axes.text(9.6, 3.2, "$x_{l+1}$", ha="center", va="center", fontsize=FONT + 2)
    for x, text in ((2.6, "weights"), (5.0, "ReLU")):
        box = FancyBboxPatch((x, 2.75), 1.6, 0.9, boxstyle="round,pad=0.08", facecolor=PAPER, edgecolor=INK)
        axes.add_patch(box)
        axes.text(x + 0.8, 3.2, text, ha="center", va="center", fontsize=FONT - 1)
    axes.add_patch(Circle((8.0, 3.2), 0.34, facecolor=PAPER, edgecolor=INK, linewidth=1.1))
    axes.text(8.0, 3.17, "+", ha="center", va="center", fontsize=FONT + 2)
    for begin, end in ((0.75, 2.5), (4.3, 4.9), (6.7, 7.65), (8.35, 9.2)):
        _arrow(axes, (begin, 3.2), (end, 3.2))
    _arrow(axes, (1.5, 3.2), (8.0, 3.6), bend=-0.42)
    axes.text(4.7, 5.55, "shortcut: $x_l$", ha="center", fontsize=FONT - 1, color=MUTED)
    axes.text(4.6, 2.2, "branch $F(x_l)$", ha="center", fontsize=FONT - 1, color=MUTED)
    # Parentheses of the text's size: mathtext takes larger ones from a font that a browser does not have.
    left = r"$\frac{\partial C}{\partial x_l} = \frac{\partial C}{\partial x_L}\,(1 + \frac{\partial}{\partial x_l}\,"
    axes.text(5, 0.8, left + r"\Sigma_{i=l}^{L-1}\,F(x_i))$", ha="center", va="center", fontsize=FONT + 3)
    return figure
