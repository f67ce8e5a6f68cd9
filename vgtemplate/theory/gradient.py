"""The way back: what a hidden layer of a wide random network makes of the gradient.

Mostly a gradient is independent of the signal it meets: each layer multiplies its mean square by fan_out var(w)
E[phi'(z)^2] (Glorot & Bengio 2010, eq. 6, with phi' kept; Schoenholz et al. 2017), a shortcut adds what goes past
(Yang & Schoenholz 2017: an unscaled branch of ReLU with He's weights doubles it each block). What a normalisation takes
out of the gradient, its mean and its part along z, is nothing in a large batch (Yang et al. 2019).

Not so along the signal itself and along the units' mean. By chance 2 / width of the output's gradient lies there; in a
stack of unscaled shortcuts the signal grows along its mean, and by the chain rule this part of the gradient grows with
it (ReLU with He's weights: 2.90 times a block instead of 2). After ln(width) / ln(2.90 / 2) blocks, 11 at width 64, it
is what one measures. `Gradient` therefore keeps the two parts apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vgtemplate.theory.gaussian import Array, gaussian_expectations
from vgtemplate.theory.layers import Passage, Signal
from vgtemplate.theory.numpy_activations import Activation


@dataclass(frozen=True)
class Gradient:
    """Mean squares over units, (N, H, W): dL/dx = a + b x + rest, with a and b one number per network."""

    aa: Array
    """E[a^2]."""
    ab: Array
    """E[a b]."""
    bb: Array
    """E[b^2]."""
    rest: Array
    """E[rest^2]."""

    def of(self, signal: Signal) -> Array:
        """Return the mean square of the whole where x is `signal`."""
        return np.asarray(self.aa + 2 * self.ab * signal.mean + self.bb * signal.mean_square + self.rest)

    def scaled(self, factor: float) -> Gradient:
        """Return a gradient whose mean squares are multiplied."""
        return Gradient(self.aa * factor, self.ab * factor, self.bb * factor, self.rest * factor)


def start(signal: Signal, width: int, coherent: bool) -> Gradient:
    """Return the gradient of mean square 1 that random output weights send back; what it has along x is by chance.

    Args:
        signal: x, what the last hidden layer puts out.
        coherent: whether the part along x and the mean is to be followed.
    """
    zero = np.zeros_like(signal.mean)
    determinant = (signal.mean_square - signal.mean**2) * width
    if not coherent or width < 3 or not (determinant > 0).all():
        return Gradient(zero, zero, zero, zero + 1)
    # The inverse of the Gram matrix [[1, mean], [mean, mean square]].
    return Gradient(signal.mean_square / determinant, -signal.mean / determinant, 1 / determinant, zero + 1 - 2 / width)


def _back_through_taps(g: Array, size: tuple[int, ...], kernel: int, stride: int) -> Array:
    """Return, for each pixel that was read, the sum of `g` (N, H', W') over the taps that read it: (N, H, W)."""
    pad, (height, width) = kernel // 2, size
    padded = np.zeros((len(g), height + 2 * pad, width + 2 * pad))
    for row in range(kernel):
        for column in range(kernel):
            padded[:, row : row + height : stride, column : column + width : stride] += g
    return padded[:, pad : pad + height, pad : pad + width]


def backward(activation: Activation, passage: Passage, g: Gradient) -> tuple[Array, Gradient]:
    """Return the mean square of dL/dz, (N, H, W), and the gradient of what the layer reads from that of its output."""
    layer, read = passage.layer, passage.read
    size = read.mean.shape[1:]
    if g.bb.any():
        return _backward_with_coherent_part(activation, passage, g)
    at_z = g.rest / (1 - layer.dropout) / passage.divisor_after * passage.moments.slope_square
    through = _back_through_taps(at_z / passage.divisor_before, size, layer.kernel, layer.stride)
    through = through * layer.sigma_w_sq_backward / layer.kernel**2
    if layer.residual:
        through = through + _back_through_taps(g.rest, size, 1, layer.stride)
    zero = np.zeros_like(read.mean)
    return at_z, Gradient(zero, zero, zero, through)


def _backward_with_coherent_part(activation: Activation, passage: Passage, g: Gradient) -> tuple[Array, Gradient]:
    """Do what `backward` does for a fully connected layer without normalisation or dropout.

    The output is y = x + phi(z), without a shortcut phi(z), and z = W x + b. Given z, a weight's mean is its share of
    z: W^T phi'(z) dL/dy is x times the sum over units of phi'(z) z dL/dy, and independent draws.
    """
    layer, read, q = passage.layer, passage.read, passage.q
    first, second = passage.moments.mean, passage.moments.mean_square

    def products(z: Array) -> tuple[Array, ...]:
        phi, slope = activation.function(z), activation.derivative(z)
        return z * slope, z * slope * phi, slope**2 * phi, (slope * phi) ** 2

    e_z, e_zphi, e_slopes_phi, e_slopes_phi_phi = gaussian_expectations(products, q, activation.kinks)
    shortcut = float(layer.residual)
    mean, square = shortcut * read.mean, shortcut * read.mean_square
    at_z = (
        passage.moments.slope_square * (g.aa + 2 * g.ab * mean + g.bb * square + g.rest)
        + 2 * (g.ab + g.bb * mean) * e_slopes_phi
        + g.bb * e_slopes_phi_phi
    )
    along = layer.sigma_w_sq / q
    # (a, b) of the gradient of x from (a, b) of the gradient of y: a' = s a + u b, b' = v a + w b.
    s, u, v = shortcut, shortcut * first, along * e_z
    w = shortcut + along * (mean * e_z + e_zphi)
    return at_z, Gradient(
        s * s * g.aa + 2 * s * u * g.ab + u * u * g.bb,
        s * v * g.aa + (s * w + u * v) * g.ab + u * w * g.bb,
        v * v * g.aa + 2 * v * w * g.ab + w * w * g.bb,
        shortcut * (g.rest + g.bb * (second - first**2)) + layer.sigma_w_sq_backward * at_z,
    )


def scatter(passage: Passage, at_z: Array, before: Gradient) -> float:
    """Return the variance that a layer of finite width adds to ln |gradient|^2, for one image.

    W^T v has Gaussian entries, of which phi'^2 takes a part: the sum of `width` of their squares has the relative
    variance (3 E[phi'^4] / E[phi'^2]^2 - 1) / width; ReLU's 5 / width is that of Hanin & Nica 2020. Past a shortcut
    only the branch's share scatters, and its product with what goes past.
    """
    layer, found = passage.layer, passage.moments
    kurtosis = float(np.mean(found.slope_fourth / found.slope_square**2))
    branch = 1.0
    if layer.residual:
        divided = float(np.mean(at_z)) / float(np.mean(passage.divisor_before))
        branch = min(1.0, divided * layer.sigma_w_sq_backward / float(np.mean(before.of(passage.read))))
    return (branch**2 * (3 * kurtosis - 1) + 4 * branch * (1 - branch)) / layer.width
