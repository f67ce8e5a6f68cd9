"""Statistics of a network's tensors, one number per replica: pure functions, no hooks, no storage.

Every argument has the replica axis in front, (R, ...). Results are on the same device; they are float64 tensors (R,),
except those of dead_units and moments, which have one value per unit.
Sums run in float64: the square of a vanished float32 gradient would underflow to zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DEAD = 1e-3
"""A unit is dead where no |phi'(z)| is as large (docs/register.md, amendment 3)."""


def norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over all axes but the first; non-finite where an entry is."""
    rows = x.flatten(1) if x.dim() > 1 else x[:, None]  # one number per replica, as PReLU's slope is
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return norms


def rms(x: Tensor) -> Tensor:
    """Return the root mean square over all axes but the first: the gradient profile, the signal."""
    return norm(x) / math.sqrt(x[0].numel())


def mean(x: Tensor) -> Tensor:
    """Return the mean over all axes but the first."""
    return x.flatten(1).to(torch.float64).mean(dim=1)


def saturated_fraction(derivative: Tensor, max_derivative: float) -> Tensor:
    """Return the share of pre-activations whose |phi'(z)| is below 10 % of its maximum (docs/register.md, Terms).

    NaN for a replica in which a derivative is NaN.
    """
    sizes = derivative.flatten(1).abs()
    saturated = (sizes < 0.1 * max_derivative).sum(dim=1, dtype=torch.float64) / sizes.shape[1]
    # A sum of numbers that are not negative is NaN only if one of them is.
    return saturated.masked_fill(sizes.sum(dim=1).isnan(), torch.nan)


def dead_units(derivative: Tensor) -> Tensor:
    """Return which units let no gradient pass: (R, N, C, ...) of phi'(z) -> bool (R, C).

    Dead is a unit whose |phi'(z)| is below 1e-3 for every image (docs/register.md, amendment 3); a convolution's unit
    is a channel, dead only if it is so at every pixel. Never where a derivative is NaN.
    """
    flat = (derivative.abs() < DEAD).flatten(3) if derivative.dim() > 3 else (derivative.abs() < DEAD)[..., None]
    return flat.all(dim=3).all(dim=1)


def update_ratio(before: Tensor, after: Tensor, size: Tensor | None = None) -> Tensor:
    """Return ||after - before|| / ||before||: the update ratio of one step, or the travel since the start.

    Where ||before|| is known, it is handed over as `size`, (R,).
    """
    return norm(after - before) / (norm(before) if size is None else size)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each unit's mean and deviation over the batch, both (R, C): (R, N, C) or, over pixels too, (R, N, C, ...).

    The deviation divides by the number of values, as batch normalisation does; it is exactly 0 for a constant unit.
    """
    units = x.to(torch.float64).flatten(3) if x.dim() > 3 else x.to(torch.float64)[..., None]
    # A constant's mean may be rounded off the constant; what is left of the first value is exactly zero.
    first = units[:, :1, :, :1]
    rest = units - first
    offset = rest.mean(dim=(1, 3), keepdim=True)
    deviation = (rest - offset).square().mean(dim=(1, 3)).sqrt()
    return (first + offset).flatten(1), deviation


def moment_shift(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> Tensor:
    """Return how far a distribution moved, in its own deviations: mean over units of (|mu' - mu| + |s' - s|) / s.

    Each argument is the mean mu and the deviation s of every unit, as `moments` returns them. Units with s = 0 are
    left out; NaN where no unit is left, or where one is NaN.
    """
    (mean_before, deviation), (mean_after, deviation_after) = before, after
    constant = deviation == 0
    shifts = ((mean_after - mean_before).abs() + (deviation_after - deviation).abs()) / deviation
    return shifts.masked_fill(constant, 0.0).sum(dim=1) / (~constant).sum(dim=1)


def gradient_change(gradient: Tensor, changed: Tensor) -> Tensor:
    """Return ||changed - gradient|| / ||gradient||; NaN where the gradient is zero, to which nothing compares."""
    size = norm(gradient)
    return (norm(changed - gradient) / size).masked_fill(size == 0, torch.nan)
