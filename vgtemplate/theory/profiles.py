"""Predicted profiles of signal and gradient at initialisation, layer by layer from the inputs, and their scatter.

The profiles are those of a wide network. A finite network's gradient is a product of random factors: its logarithm
scatters, and lies below that of the mean (Hanin & Nica 2020; ReLU: by up to 0.54 / width decades per layer). The band
says by how much for one image; over a batch of unlike images, each with a gradient of its own, it is less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from vgtemplate.theory.callables import Phi, find_activation
from vgtemplate.theory.gaussian import Array
from vgtemplate.theory.gradient import backward, scatter, start
from vgtemplate.theory.layers import Layer, Passage, Signal, forward
from vgtemplate.theory.meanfield import saturated_fraction
from vgtemplate.theory.numpy_activations import Activation

UNDERFLOW = 1e-300
"""A mean square below it counts as 0: from there on the arithmetic, not the theory, would be shown."""
DECADES = 0.5 * math.log10(math.e)
"""Decades of a root mean square per unit of the mean square's natural logarithm."""
BAND = 2.0
"""Half the band's width in standard deviations: 19 of 20 networks."""


def _slope_weights(num_layers: int) -> Array:
    """Return the least-squares slope over hidden layers 2 to L as weights (L,) of the profile; NaN below 3 layers."""
    if num_layers < 3:
        return np.full(num_layers, np.nan)
    distances = np.arange(num_layers - 1) - (num_layers - 2) / 2
    return np.append(0.0, distances / np.sum(distances**2))


def _slope(log10_profile: Array) -> float:
    """Return the least-squares slope over hidden layers 2 to L, decades per layer; NaN with fewer than two of them."""
    if len(log10_profile) < 3 or not np.isfinite(log10_profile[1:]).all():
        return math.nan
    return float(_slope_weights(len(log10_profile))[1:] @ log10_profile[1:])


@dataclass(frozen=True)
class Prediction:
    """What theory expects of each hidden layer, counted from the input; arrays of shape (L,)."""

    q: Array
    """Mean square of what the activation sees."""
    log10_signal_rms: Array
    """Of the layer's output, shortcut included; -inf where it is 0, NaN from where q overflows."""
    signal_mean: Array
    """Of the layer's output."""
    saturated_fraction: Array
    """Share of units whose |phi'(z)| is below a tenth of its largest value."""
    log10_gradient_rms: Array
    """Of dL/dz, z what the activation sees, relative to the last hidden layer."""
    log10_bias_gradient: Array
    """Norm of dL/db relative to the last hidden layer, if the images' gradients are equally alike in all layers."""
    log10_weight_gradient: Array
    """Norm of dL/dW over that of W, relative to the last hidden layer; if the same holds of gradients and signals."""
    scatter: Array
    """Variance that a layer adds to ln |dL/dz|^2 of one image, from the layer above it to its own."""

    @property
    def signal_variance(self) -> Array:
        """Variance of the layer's output over units and images."""
        return np.asarray(10 ** (2 * self.log10_signal_rms) - self.signal_mean**2)

    @property
    def signal_slope(self) -> float:
        """Decades per layer of depth, layers 2 to L; NaN below 3 layers or where the profile is not finite."""
        return _slope(self.log10_signal_rms)

    @property
    def gradient_slope(self) -> float:
        """Decades per layer of distance from the output (negative vanishes), layers 2 to L; NaN as signal_slope."""
        return -_slope(self.log10_gradient_rms)

    @property
    def gradient_band(self) -> tuple[Array, Array]:
        """Lowest and highest log10_gradient_rms of 19 of 20 networks of this width."""
        variance = np.append(np.cumsum(self.scatter[-2::-1])[::-1], 0.0)
        half = BAND * np.sqrt(variance)
        centre = self.log10_gradient_rms
        return centre - DECADES * (variance / 2 + half), centre + DECADES * half

    @property
    def gradient_slope_band(self) -> tuple[float, float]:
        """Lowest and highest gradient_slope of 19 of 20 networks of this width; NaN as gradient_slope."""
        # Layer k's factor is in the profile of layers 1 to k.
        shares = -np.cumsum(_slope_weights(len(self.scatter)))[:-1]
        variances = self.scatter[:-1]
        half = BAND * math.sqrt(float(shares**2 @ variances))
        typical = -float(shares @ variances) / 2
        slope = self.gradient_slope
        return slope + DECADES * (min(typical, 0.0) - half), slope + DECADES * (max(typical, 0.0) + half)

    @property
    def total_change(self) -> float:
        """Decades from the last hidden layer's gradient to the first's: negative vanishes."""
        return float(self.log10_gradient_rms[0])


def _log10(mean_square: float) -> float:
    """Return the decades of a root mean square; -inf for 0."""
    if mean_square == 0:
        return -math.inf
    return math.log10(mean_square) / 2 if math.isfinite(mean_square) else math.nan


def predict_layers(activation: Activation, layers: Sequence[Layer], inputs: Array | None = None) -> Prediction:
    """Predict signal and gradient of each hidden layer of a sequence.

    Args:
        layers: from the input on.
        inputs: mean square over the channels of each pixel of some images, (N, H, W); fully connected: over the
            pixels too, (N, 1, 1); None: 1, as standardised images have. Batch normalisation makes any images alike: of
            theirs only the size counts.
    """
    squares = np.ones((1, 1, 1)) if inputs is None else np.asarray(inputs, dtype=np.float64)
    if layers[0].norm == "batch":
        squares = np.ones((1, *squares.shape[1:]))
    signal = Signal(squares, np.zeros_like(squares))
    passages: list[Passage] = []
    signals = [signal]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for layer in layers:
            signal, passage = forward(activation, layer, signal)
            passages.append(passage)
            signals.append(signal)
        gradients, scatters = _way_back(activation, passages, signal)
        q = [float(passage.q.mean()) for passage in passages]
        return assemble(
            layers,
            q,
            [float(signal.mean_square.mean()) for signal in signals],
            [float(signal.mean.mean()) for signal in signals[1:]],
            [saturated_fraction(activation, at) for at in q],
            gradients,
            scatters,
        )


def assemble(
    layers: Sequence[Layer],
    q: Sequence[float],
    squares: Sequence[float],
    means: Sequence[float],
    saturated: Sequence[float],
    log10_gradients: Array,
    scatter: Array,
) -> Prediction:
    """Put a prediction together.

    Args:
        squares: mean squares of the images and of what each layer puts out, L + 1 of them.
        log10_gradients: RMS of dL/dz, up to a constant.
    """

    def to_last(profile: Array) -> Array:
        return np.asarray(profile - profile[-1])

    with np.errstate(invalid="ignore", divide="ignore"):
        log_signals = np.log10(np.where(np.array(squares) < UNDERFLOW, 0.0, squares)) / 2
        log_widths = np.log10([layer.width for layer in layers]) / 2
        log_weights = np.log10([layer.weight_std for layer in layers])
        return Prediction(
            q=np.array(q),
            log10_signal_rms=log_signals[1:],
            signal_mean=np.array(means),
            saturated_fraction=np.array(saturated),
            log10_gradient_rms=to_last(log10_gradients),
            log10_bias_gradient=to_last(log10_gradients + log_widths),
            log10_weight_gradient=to_last(log10_gradients + log_signals[:-1] - log_weights),
            scatter=scatter,
        )


def _way_back(activation: Activation, passages: Sequence[Passage], signal: Signal) -> tuple[Array, Array]:
    """Return each layer's log10 RMS of dL/dz, up to a constant, and its scatter; both (L,)."""
    layers = [passage.layer for passage in passages]
    plain = all(layer.norm == "none" and layer.kernel == 1 and not layer.dropout for layer in layers)
    g = start(signal, layers[-1].width, plain and any(layer.residual for layer in layers))
    profile, scatters, grown = [], [], 0.0
    for passage in reversed(passages):
        at_z, before = backward(activation, passage, g)
        profile.append(grown + _log10(float(at_z.mean())))
        scatters.append(scatter(passage, at_z, before))
        # Kept near 1, whatever the depth: a profile may span more decades than a number can.
        size = float(before.of(passage.read).mean())
        g = before.scaled(1 / size) if size else before
        grown += _log10(size)
    return np.array(profile[::-1]), np.array(scatters[::-1])


def predict(
    activation: Phi,
    depth: int,
    weight_std: float,
    width: int = 64,
    bias_std: float = 0.0,
    norm: Literal["none", "batch", "layer"] = "none",
    norm_position: Literal["before", "after"] = "before",
    residual: bool = False,
    inputs: npt.ArrayLike = 1.0,
) -> Prediction:
    """Predict signal and gradient of a fully connected network of one width at initialisation.

    Args:
        activation: a name of the catalogue, or any elementwise function, e.g. torch.tanh or numpy.tanh.
        depth: L, the number of hidden layers.
        weight_std: standard deviation of every weight, e.g. gain / sqrt(width).
        width: units per hidden layer, and values per image.
        norm: normalisation over the batch, or over a layer's units.
        norm_position: before or after the activation.
        residual: from the second layer on, add each layer's input to its output.
        inputs: mean square of the values of an image; several, of as many images.

    Raises:
        UserError: there is no activation of that name, or the function is none of arrays or tensors.
        ValueError: a number is out of its range.
    """
    if depth < 1 or width < 1 or weight_std < 0 or bias_std < 0:
        raise ValueError(f"{depth=}, {width=} must be at least 1, {weight_std=}, {bias_std=} at least 0")
    first = Layer(width, width, weight_std, bias_std, norm=norm, norm_position=norm_position)
    layers = [first, *[replace(first, residual=residual)] * (depth - 1)]
    return predict_layers(find_activation(activation), layers, np.reshape(inputs, (-1, 1, 1)))
