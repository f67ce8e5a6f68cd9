"""Statistics of a network's tensors, one number a replica: pure functions, no hooks, no storage.

Every argument has the replica axis in front, (R, ...); every result is a float64 tensor (R,) on the same device.
Sums run in float64: the square of a vanished float32 gradient would underflow to zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over all axes but the first; non-finite where an entry is."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1, dtype=torch.float64)
    return norms


def rms(x: Tensor) -> Tensor:
    """Return the root mean square over all axes but the first: the gradient profile, the signal."""
    return norm(x) / math.sqrt(x[0].numel())


def mean(x: Tensor) -> Tensor:
    """Return the mean over all axes but the first."""
    return x.flatten(1).to(torch.float64).mean(dim=1)


def saturated_fraction(derivative: Tensor, max_derivative: float) -> Tensor:
    """Return the share of pre-activations whose |phi'(z)| is below 10 % of its maximum (register, Terms).

    NaN for a replica in which a derivative is NaN.
    """
    saturated = (derivative.abs() < 0.1 * max_derivative).to(derivative.dtype)
    return mean(torch.where(derivative.isnan(), derivative, saturated))


def silent_units(outputs: Tensor) -> Tensor:
    """Return which units are zero for every image: (R, N, C, ...) -> bool (R, C).

    A convolution's unit is a channel, silent only if it is so at every pixel.
    """
    zero = outputs == 0
    return zero.flatten(3).all(dim=3).all(dim=1) if outputs.dim() > 3 else zero.all(dim=1)


def update_ratio(before: Tensor, after: Tensor) -> Tensor:
    """Return ||after - before|| / ||before||: the update ratio of one step, or the travel since the start."""
    return norm(after - before) / norm(before)
