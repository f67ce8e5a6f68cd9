"""The networks of He et al. 2016, batch-normalised, whose activation stands after the shortcut.

What such an activation sees is not Gaussian: x + u, x what earlier blocks have left, u from N(0, 1). So a unit's whole
distribution over the batch is followed, as quantiles. On the way back the gradient of a unit depends on its value:
where x is large ReLU is open in every block that follows. So E[(dL/dx)^2 | x] is followed, as a function of x. Where a
stage begins, new channels start at 0, and of the pixels only every second in each direction is carried on; each such
kind of channel, and of pixel, has a distribution, and a function, of its own. Convolutions see averages. Their zero
padding is left out: normalisation takes out what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from vgtemplate.theory.gaussian import Array, gaussian_rule
from vgtemplate.theory.layers import EPS, Layer
from vgtemplate.theory.meanfield import Moments, is_saturated, moments
from vgtemplate.theory.numpy_activations import Activation
from vgtemplate.theory.profiles import Prediction, assemble

_QUANTILES = 801
_NORMAL_QUANTILES = 101
_GRID = 201
"""Points at which the gradient's dependence on a unit's value is kept."""


@dataclass(frozen=True)
class Channels:
    """A kind of channels: its share of them, and the quantiles of their values over batch and pixels."""

    share: float
    values: Array


@dataclass(frozen=True)
class Pixels:
    """A kind of pixels: its share of them, and E[(dL/dx)^2 | x] at the points of a grid."""

    share: float
    points: Array
    gradient: Array

    def at(self, x: Array) -> Array:
        """Return E[(dL/dx)^2 | x]."""
        return np.interp(x, self.points, self.gradient)


@dataclass(frozen=True)
class Block:
    """Two convolutions with a shortcut past them, and what the way back needs to know of them."""

    opening: Layer
    closing: Layer
    carried: Sequence[Channels]
    """What the shortcut brings."""
    inner: Moments
    """Of the first activation, which sees N(0, 1)."""
    divisors: tuple[float, float]
    """What the two normalisations divide squares by."""


def _normal() -> Array:
    quantiles = ndtri((np.arange(_NORMAL_QUANTILES) + 0.5) / _NORMAL_QUANTILES)
    return np.asarray(quantiles / quantiles.std())


def _mean(channels: Sequence[Channels], power: int) -> float:
    return float(sum(kind.share * np.mean(kind.values**power) for kind in channels))


def _add_normal(activation: Activation, values: Array) -> tuple[Array, float, float]:
    """Return, of x + u, u from N(0, 1), the quantiles of phi, the mean square and the saturated share.

    Args:
        values: the quantiles of x.
    """
    sums = (values[:, None] + _normal()).ravel()
    # Of the sorted values each run stands for a quantile; its mean keeps the mean of all.
    put_out = np.sort(activation.function(sums)).reshape(len(values), -1).mean(axis=1)
    return put_out, float(np.mean(sums**2)), float(is_saturated(activation, sums).mean())


def predict_resnet(activation: Activation, layers: Sequence[Layer]) -> Prediction:
    """Predict a batch-normalised residual network of the CIFAR kind: a convolution, then blocks of two layers."""
    inner = moments(activation, 1.0)
    values, _, alone = _add_normal(activation, np.zeros(_QUANTILES))
    channels = [Channels(1.0, values)]
    q, squares, means, saturated = [1.0], [1.0, float(inner.mean_square)], [float(inner.mean)], [alone]
    blocks = []
    for opening, closing in zip(layers[1::2], layers[2::2], strict=True):
        variance = float(sum(kind.share * kind.values.var() for kind in channels))
        divisors = (
            opening.sigma_w_sq * variance + EPS,
            closing.sigma_w_sq * float(inner.mean_square - inner.mean**2) + EPS,
        )
        kept = opening.in_width / opening.width
        added = [Channels(1 - kept, np.zeros(_QUANTILES))] if kept < 1 else []
        carried = [*(Channels(kind.share * kept, kind.values) for kind in channels), *added]
        sums = [_add_normal(activation, kind.values) for kind in carried]
        put_out, sum_squares, saturated_shares = zip(*sums, strict=True)
        channels = [Channels(kind.share, values) for kind, values in zip(carried, put_out, strict=True)]
        blocks.append(Block(opening, closing, carried, inner, divisors))
        shares = [kind.share for kind in carried]
        q += [1.0, float(np.dot(shares, sum_squares))]
        squares += [float(inner.mean_square), _mean(channels, 2)]
        means += [float(inner.mean), _mean(channels, 1)]
        saturated += [alone, float(np.dot(shares, saturated_shares))]
    gradients, scatter = _way_back(activation, blocks)
    return assemble(layers, q, squares, means, saturated, np.log10(gradients) / 2, scatter)


def _way_back(activation: Activation, blocks: Sequence[Block]) -> tuple[Array, Array]:
    """Return the mean square of dL/dz of every layer, up to a constant, and its scatter; both (L,)."""
    pixels = [Pixels(1.0, np.array([0.0, 1.0]), np.ones(2))]
    gradients: list[float] = []
    scatters: list[float] = []
    for block in reversed(blocks):
        at_opening, at_closing, pixels, branch = _back_through(activation, block, pixels)
        gradients += [at_closing, at_opening]
        kurtosis = float(block.inner.slope_fourth / block.inner.slope_square**2)
        scatters += [(branch**2 * (3 * kurtosis - 1) + 4 * branch * (1 - branch)) / block.closing.width, 0.0]
    passed = _pass(activation, np.zeros(1), pixels)
    gradients.append(float(sum(kind.share * value[0] for kind, value in zip(pixels, passed, strict=True))))
    return np.array(gradients[::-1]), np.array([0.0, *scatters[::-1]])


def _pass(activation: Activation, x: Array, pixels: Sequence[Pixels]) -> list[Array]:
    """Return E[phi'(x + u)^2 (dL/dy)^2 | x] of every kind of pixel, y = phi(x + u), u ~ N(0, 1)."""
    u, weights = gaussian_rule(np.ones(len(x)), np.array(activation.kinks) - x[:, None])
    sums = x[:, None] + u
    slopes, y = activation.derivative(sums) ** 2 * weights, activation.function(sums)
    return [np.sum(slopes * kind.at(y), axis=1) for kind in pixels]


def _back_through(
    activation: Activation, block: Block, pixels: Sequence[Pixels]
) -> tuple[float, float, list[Pixels], float]:
    """Return dL/dz of both layers, the gradient by kinds of pixels of what the block reads, and the branch's share."""
    opening, closing = block.opening, block.closing
    values = np.concatenate([kind.values for kind in block.carried])
    points = np.linspace(values.min(), values.max(), _GRID)
    passed = _pass(activation, points, pixels)
    carried = [Pixels(kind.share, points, value) for kind, value in zip(pixels, passed, strict=True)]
    at_closing = _average(carried, block.carried)
    at_opening = at_closing * closing.sigma_w_sq_backward / block.divisors[1] * float(block.inner.slope_square)
    sampled = 1 / opening.stride**2
    branch = at_opening * opening.sigma_w_sq_backward / block.divisors[0] * sampled
    read = [Pixels(kind.share * sampled, points, kind.gradient + branch) for kind in carried]
    if sampled < 1:
        read.append(Pixels(1 - sampled, points, np.full(_GRID, branch)))
    total = _average(read, block.carried)
    return at_opening, at_closing, read, branch / total


def _average(pixels: Sequence[Pixels], channels: Sequence[Channels]) -> float:
    """Return the mean of the squared gradient over pixels and channels."""
    return float(
        sum(kind.share * channel.share * np.mean(kind.at(channel.values)) for kind in pixels for channel in channels)
    )
