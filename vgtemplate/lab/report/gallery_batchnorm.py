"""The articles' formula of batch normalisation with its four vectors: those of a layer trained here, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.figures.style import FONT, INK, SERIES_COLOURS, start_figure
from vgtemplate.lab.report.gallery_figures import SIGMOID, WIDTH
from vgtemplate.records import Array

UNITS, BATCH, STEPS, RATE = 8, 64, 300, 0.1
EPS, MOMENTUM = 1e-5, 0.1
"""As in PyTorch's layer."""
_SEED = 0


def draw_points() -> tuple[Array, Array]:
    """Return two features of every training point, (STEPS * BATCH, 2), and its class: inside a ring or outside."""
    points = generator(_SEED, Stream.CHECKS).standard_normal((STEPS * BATCH, 2))
    classes = ((points**2).sum(axis=1) > 1.4).astype(np.float64)
    return points * [1.0, 4.0] + [2.0, -3.0], classes


def start_weights() -> tuple[Array, Array]:
    """Return the weights before and behind the normalised layer, (2, UNITS) and (UNITS,)."""
    numbers = generator(_SEED, Stream.CHECKS, 1)
    return numbers.standard_normal((2, UNITS)), numbers.standard_normal(UNITS) / UNITS**0.5


@dataclass
class BatchNormLayer:
    """The four vectors of a layer; each has one number per unit."""

    gamma: Array = field(default_factory=lambda: np.ones(UNITS))
    beta: Array = field(default_factory=lambda: np.zeros(UNITS))
    mean: Array = field(default_factory=lambda: np.zeros(UNITS))
    variance: Array = field(default_factory=lambda: np.ones(UNITS))

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        """Return outputs and normalised inputs, (B, UNITS), and deviations, (UNITS,); move the running estimates."""
        mean, variance = x.mean(axis=0), x.var(axis=0)
        self.mean = (1 - MOMENTUM) * self.mean + MOMENTUM * mean
        self.variance = (1 - MOMENTUM) * self.variance + MOMENTUM * variance * len(x) / (len(x) - 1)
        deviation = np.sqrt(variance + EPS)
        normal = (x - mean) / deviation
        return self.gamma * normal + self.beta, normal, deviation

    def backward(self, upstream: Array, normal: Array, deviation: Array) -> Array:
        """Return dL/dx, (B, UNITS), and update gamma and beta."""
        inner = upstream * self.gamma
        downstream = (inner - inner.mean(axis=0) - normal * (inner * normal).mean(axis=0)) / deviation
        self.gamma = self.gamma - RATE * (upstream * normal).sum(axis=0)
        self.beta = self.beta - RATE * upstream.sum(axis=0)
        return np.asarray(downstream)


def train_layer() -> BatchNormLayer:
    """Train a network of one hidden layer, weights - BN - ReLU - weights, on binary cross-entropy; return its BN layer.

    The last weights stay, and there is no bias: what the layer learns is for gamma and beta to do.
    """
    (points, classes), (inner, outer), layer = draw_points(), start_weights(), BatchNormLayer()
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        outputs, normal, deviation = layer.forward(points[rows] @ inner)
        error = (SIGMOID.function(np.maximum(outputs, 0) @ outer) - classes[rows]) / BATCH
        upstream = error[:, None] * outer * (outputs > 0)
        inner = inner - RATE * points[rows].T @ layer.backward(upstream, normal, deviation)
    return layer


def draw_batchnorm() -> Figure:
    """Draw the formula, and its four vectors unit by unit as training has left them."""
    layer = train_layer()
    vectors = (
        (r"$\mu$: mean, estimated", layer.mean),
        (r"$\sigma$: deviation, estimated", np.sqrt(layer.variance + EPS)),
        (r"$\gamma$: scale, learned", layer.gamma),
        (r"$\beta$: shift, learned", layer.beta),
    )
    figure, axes = start_figure((WIDTH, 4.6), rows=2, columns=2)
    figure.suptitle(r"$y = \gamma\,\frac{x - \mu}{\sigma} + \beta$", fontsize=FONT + 5)
    begins = (0.0, 1.0, 1.0, 0.0)
    for each, (title, values), begin, colour in zip(axes, vectors, begins, SERIES_COLOURS, strict=False):
        each.bar(np.arange(1, UNITS + 1), values, color=colour, width=0.7)
        each.axhline(begin, color=INK, linewidth=0.9, linestyle=":")
        each.set_title(title, fontsize=FONT, loc="left")
        each.set_xticks(range(1, UNITS + 1))
    for each in axes[2:]:
        each.set_xlabel("unit", fontsize=FONT)
    return figure
