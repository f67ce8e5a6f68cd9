"""The way forward: what a hidden layer of a wide random network makes of the signal.

The theory follows two numbers over the units of a layer, their mean square and their mean, for each image and each
pixel; arrays are (N, H, W), in fully connected networks (N, 1, 1). Weights are independent of what they read, so
pre-activations are Gaussian (Poole et al. 2016; convolutions: Xiao et al. 2018, here with the zero padding), and a
shortcut adds what is independent (Yang & Schoenholz 2017). A unit's values that are normalised over a batch are
N(0, 1) (Yang et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vgtemplate.theory.gaussian import Array
from vgtemplate.theory.meanfield import Moments, moments
from vgtemplate.theory.numpy_activations import Activation

EPS = 1e-5
"""What every normalisation adds to the variance; PyTorch's default."""
EACH_IMAGE = (1, 2)
"""The axes of one image."""


@dataclass(frozen=True)
class Layer:
    """A hidden layer: linear map, normalisation, activation, dropout, shortcut; the weights are independent draws."""

    in_width: int
    """Units, or channels, that it reads."""
    width: int
    """Units, or channels, that it has."""
    weight_std: float
    """Standard deviation of a weight."""
    bias_std: float = 0.0
    """Standard deviation of a bias."""
    kernel: int = 1
    """Side of the convolution's kernel; fully connected: 1."""
    stride: int = 1
    """Of the convolution."""
    norm: Literal["none", "batch", "layer"] = "none"
    """Over the batch, or over an image's units."""
    norm_position: Literal["before", "after"] = "before"
    """Of the activation."""
    residual: bool = False
    """Whether the input is added to the output."""
    dropout: float = 0.0
    """Probability that a unit is set to zero."""

    @property
    def sigma_w_sq(self) -> float:
        """fan_in * var(w)."""
        return self.in_width * self.kernel**2 * self.weight_std**2

    @property
    def sigma_w_sq_backward(self) -> float:
        """fan_out * var(w)."""
        return self.width * self.kernel**2 * self.weight_std**2


@dataclass(frozen=True)
class Signal:
    """What a layer puts out: mean square and mean over its units, each (N, H, W)."""

    mean_square: Array
    mean: Array


@dataclass(frozen=True)
class Passage:
    """What the way back needs to know of a layer."""

    layer: Layer
    read: Signal
    """What the layer read."""
    q: Array
    """Variance of what the activation sees, (N, H, W)."""
    moments: Moments
    """Of the activation there."""
    divisor_before: Array
    """What the normalisation before the activation divides squares by; (1, 1, 1) or (N, 1, 1)."""
    divisor_after: Array
    """The same of one after the activation."""


def taps(x: Array, kernel: int, stride: int) -> Array:
    """Return what each entry of the kernel reads: (N, H, W) to (K * K, N, H', W'); beyond the edge is 0."""
    if kernel == 1:
        return x[None, :, ::stride, ::stride]
    pad, (height, width) = kernel // 2, x.shape[1:]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    return np.stack(
        [
            padded[:, row : row + height : stride, column : column + width : stride]
            for row in range(kernel)
            for column in range(kernel)
        ]
    )


def _linear(layer: Layer, signal: Signal) -> tuple[Array, Array]:
    """Return the pre-activations' variance, (N, H, W), and by what a normalisation before the activation divides it."""
    squares = taps(signal.mean_square, layer.kernel, layer.stride)
    if layer.norm_position == "after" or layer.norm == "none":
        return layer.sigma_w_sq * squares.mean(axis=0) + layer.bias_std**2, np.ones((1, 1, 1))
    if layer.norm == "layer":
        q = layer.sigma_w_sq * squares.mean(axis=0) + layer.bias_std**2
        return q, q.mean(axis=EACH_IMAGE, keepdims=True) + EPS
    # A channel's mean over batch and pixels is taken out; each tap has its own, since some read beyond the edge.
    means = taps(signal.mean, layer.kernel, layer.stride)
    centre = means.mean(axis=(1, 2, 3), keepdims=True)
    q = layer.sigma_w_sq * (squares - 2 * centre * means + centre**2).mean(axis=0)
    return q, q.mean(keepdims=True) + EPS


def forward(activation: Activation, layer: Layer, read: Signal) -> tuple[Signal, Passage]:
    """Return what a layer makes of the signal it reads, and what the way back needs."""
    q, divisor = _linear(layer, read)
    q = q / divisor
    found = moments(activation, q)
    squares, means = found.mean_square, found.mean
    divisor_after = np.ones((1, 1, 1))
    if layer.norm != "none" and layer.norm_position == "after":
        axes = (0, *EACH_IMAGE) if layer.norm == "batch" else EACH_IMAGE
        centre = means.mean(axis=axes, keepdims=True)
        divisor_after = squares.mean(axis=axes, keepdims=True) - centre**2 + EPS
        squares = (squares - 2 * centre * means + centre**2) / divisor_after
        means = (means - centre) / np.sqrt(divisor_after)
    squares = squares / (1 - layer.dropout)
    if layer.residual:
        carried_squares = read.mean_square[:, :: layer.stride, :: layer.stride]
        carried_means = read.mean[:, :: layer.stride, :: layer.stride]
        squares = squares + carried_squares + 2 * means * carried_means
        means = means + carried_means
    return Signal(squares, means), Passage(layer, read, q, found, divisor, divisor_after)
