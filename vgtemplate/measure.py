"""Statistics of a network's tensors, one number per replica: pure functions, no hooks, no storage.

Every argument has the replica axis in front, (R, ...). Results are on the same device; they are float64 tensors (R,),
except those of dead_units and moments, which have one value per unit.
The square of a vanished float32 gradient would underflow to zero, so norms are sums of float64. On a processor that
takes three times as long, and is done only where float32 does not hold the squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

DEAD = 1e-3
"""A unit is dead where no |phi'(z)| is as large (docs/register.md, amendment 3)."""


_SMALL, _LARGE = 1e-12, 1e15
"""Between these float32 holds the squares that a norm comes from."""
_MOST_EXACT = 2**24
"""Up to here float32 counts without rounding."""


def is_single(x: Tensor) -> bool:
    """Say whether float32 is several times faster, and to look at a number costs nothing."""
    return x.dtype == torch.float32 and x.device.type == "cpu"


def holds(norm: float) -> bool:
    """Say of a norm whether float32 holds the squares that it comes from; NaN and infinity: it does not."""
    return _SMALL < norm < _LARGE


def _rows(x: Tensor) -> Tensor:
    """Return (R, N); one number per replica, as PReLU's slope is, has no second axis."""
    return x.flatten(1) if x.dim() > 1 else x[:, None]


def _quick_norm(x: Tensor) -> Tensor:
    """Return the norm in the entries' own precision, (R,)."""
    if x.dim() > 3:
        # First of each image, so that no sum in single precision is long.
        x = torch.linalg.vector_norm(x.flatten(2), dim=2).double()
    norms: Tensor = torch.linalg.vector_norm(_rows(x), dim=1)
    return norms


def _exact_norm(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(_rows(x), dim=1, dtype=torch.float64)
    return norms


def _all_hold(norms: Tensor) -> bool:
    low, high = norms.aminmax()  # both NaN where there is one
    return holds(low.item()) and holds(high.item())


def _mended(quick: Tensor, x: Tensor) -> Tensor:
    """Return norms, exact for those replicas whose squares single precision did not hold: no other changes by a bit."""
    held = (quick > _SMALL) & (quick < _LARGE)
    return torch.where(held, quick.double(), _exact_norm(x))


def norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over all axes but the first; non-finite where an entry is.

    Right to about 1e-6 in single precision on a processor, whatever the size of the entries, else to 1e-13.
    """
    if not is_single(x):
        return _exact_norm(x)
    quick = _quick_norm(x)
    return quick.double() if _all_hold(quick) else _mended(quick, x)


def norms(tensors: Sequence[Tensor], minus: Sequence[Tensor] | None = None) -> Tensor:
    """Return the norm of each of several tensors, less others if there are some: (R, L).

    As `norm` of each, with one look for all whether single precision sufficed.
    """

    def tensor(index: int) -> Tensor:
        return tensors[index] if minus is None else tensors[index] - minus[index]

    layers = range(len(tensors))
    if not all(map(is_single, tensors)):
        return torch.stack([_exact_norm(tensor(index)) for index in layers], dim=1)
    found = torch.stack([_quick_norm(tensor(index)) for index in layers], dim=1).double()
    if not _all_hold(found):
        for index in layers:
            if not _all_hold(found[:, index]):
                found[:, index] = _mended(found[:, index], tensor(index))
    return found


def rms(x: Tensor) -> Tensor:
    """Return the root mean square over all axes but the first: the gradient profile, the signal."""
    return norm(x) / math.sqrt(x[0].numel())


def mean(x: Tensor) -> Tensor:
    """Return the mean over all axes but the first; in single precision, on a processor, right to 1e-7 of the size."""
    rows = x.flatten(1)
    if not is_single(x):
        return rows.mean(dim=1, dtype=torch.float64)
    means = rows.mean(dim=1)
    if math.isfinite(means.sum().item()):
        return means.double()
    return torch.where(means.isfinite(), means.double(), rows.mean(dim=1, dtype=torch.float64))


def slopes(derivative: Tensor, max_derivative: float | None) -> tuple[Tensor, Tensor | None]:
    """Return the root mean square of phi'(z) and the saturated share; overwrites what it is given.

    Saturated is a pre-activation whose |phi'(z)| is below 10 % of its maximum (docs/register.md, Terms). The share is
    NaN for a replica in which a derivative is NaN, None where the maximum is not known.
    """
    size = rms(derivative)
    if max_derivative is None:
        return size, None
    # As numbers, in place: a processor is several times slower with truth values, and with memory it has not at hand.
    below = derivative.abs_().lt_(0.1 * max_derivative).flatten(1)
    count = below.sum(dim=1, dtype=None if below.shape[1] <= _MOST_EXACT else torch.float64)
    return size, (count.double() / below.shape[1]).masked_fill(size.isnan(), torch.nan)


def dead_units(derivative: Tensor) -> Tensor:
    """Return which units let no gradient pass: (R, N, C, ...) of phi'(z) -> bool (R, C).

    Dead is a unit whose |phi'(z)| is below 1e-3 for every image (docs/register.md, amendment 3); a convolution's unit
    is a channel, dead only if it is so at every pixel. Never where a derivative is NaN.
    """
    # The largest is NaN where one is, and no NaN is below anything.
    return derivative.abs().amax(dim=(1, *range(3, derivative.dim()))) < DEAD


def update_ratios(before: Sequence[Tensor], after: Sequence[Tensor], sizes: Tensor) -> Tensor:
    """Return ||after - before|| / ||before|| per layer, (R, L): a step's update ratio, or the travel since the start.

    `sizes` (R, L) are the norms before.
    """
    return norms(after, before) / sizes


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
