"""Does the network learn? What a rule takes for a fault is none where it does."""

from __future__ import annotations

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence, LossCall
from vgtemplate.doctor.losses import BINARY, CLASSES

_CLEARLY = 0.85
"""Share of the best constant prediction's loss, or of the first loss, below which a network has learned something."""
_FEW, _EQUAL = 8, 0.01
_LEAP = 1.5
_FAR, _THROWN = 100.0, 10.0


def constant_loss(evidence: Evidence) -> float:
    """Return the loss of the best prediction that is the same for all inputs; NaN where it cannot be known."""
    calls = [call for step in evidence.steps if len(step.losses) == 1 for call in step.losses]
    if not calls or len(calls) < len(evidence.steps) or len({call.kind for call in calls}) > 1:
        return float("nan")
    kind = calls[0].kind
    if kind in CLASSES:
        return _entropy([call.classes for call in calls if call.classes is not None])
    if kind == "mse_loss" or (kind == "difference" and _is_mean_square(evidence)):
        return _variance(calls)
    if kind in BINARY:
        return _binary_entropy(calls)
    return float("nan")


def _is_mean_square(evidence: Evidence) -> bool:
    """Say whether the loss is the mean of the squares of the difference that was taken by hand."""
    sizes = [step.losses[0].values.get("mean_square", np.nan) for step in evidence.steps]
    return bool(np.allclose(sizes, [step.loss for step in evidence.steps], rtol=1e-3))


def _entropy(counts: list[Array]) -> float:
    if not counts or len({len(each) for each in counts}) > 1:
        return float("nan")
    shares = np.sum(counts, axis=0) / max(1.0, float(np.sum(counts)))
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _sums(calls: list[LossCall]) -> tuple[Array, Array, float] | None:
    known = [call.target_sums for call in calls if call.target_sums is not None]
    if not known or len({len(first) for first, _, _ in known}) > 1:
        return None
    first = np.sum([sums for sums, _, _ in known], axis=0)
    second = np.sum([squares for _, squares, _ in known], axis=0)
    return first, second, sum(count for _, _, count in known)


def _variance(calls: list[LossCall]) -> float:
    if (sums := _sums(calls)) is None:
        return float("nan")
    first, second, count = sums
    return float((second / count - (first / count) ** 2).mean())


def _binary_entropy(calls: list[LossCall]) -> float:
    if (sums := _sums(calls)) is None:
        return float("nan")
    share = np.clip(sums[0] / sums[2], 1e-12, 1 - 1e-12)
    return float(-(share * np.log(share) + (1 - share) * np.log(1 - share)).mean())


def smooth(losses: Array) -> tuple[float, float]:
    """Return the median loss of the first steps and of the last quarter."""
    finite = losses[np.isfinite(losses)]
    if len(finite) < _FEW:
        return float("nan"), float("nan")
    return float(np.median(finite[:3])), float(np.median(finite[-max(3, len(finite) // 4) :]))


def beside_constant(evidence: Evidence) -> tuple[float, float, float]:
    """Return the first and the last loss, smoothed, and that of the best constant prediction, NaN if not known."""
    losses, floor = _own_losses(evidence)
    return *smooth(losses), floor


def begins_far_off(evidence: Evidence) -> bool:
    """Say whether the loss begins so far above the best constant's that training has to undo the initial weights."""
    losses, floor = _own_losses(evidence)
    # What the first steps have thrown up is no matter of the weights they started from.
    is_start = bool(len(losses)) and losses[0] > np.median(losses[:3]) / _THROWN
    return bool(np.isfinite(floor) and is_start and max(losses[0], np.median(losses[:3])) > _FAR * floor > 0)


def _own_losses(evidence: Evidence) -> tuple[Array, float]:
    """Return the losses, and that of the best constant prediction.

    Where that is known these are the loss function's own values: what is trained on may be a multiple of it, or a sum.
    """
    floor, losses = constant_loss(evidence), evidence.losses()
    own = np.array([step.losses[0].values.get("value", np.nan) for step in evidence.steps if step.losses])
    if np.isfinite(floor) and len(own) == len(evidence.steps) >= _FEW and np.isfinite(own).all():
        times = own / np.array([step.loss for step in evidence.steps])
        # A multiple is known of steps that were looked at briefly as well.
        is_multiple = np.isfinite(times).all() and np.ptp(times) < _EQUAL * abs(np.median(times))
        losses = losses * float(np.median(times)) if is_multiple else own
    return losses, floor


def learns(evidence: Evidence) -> bool:
    """Say whether the loss falls clearly below that of the best constant or, where that is unknown, its start."""
    losses = evidence.losses()
    if not len(losses) or not np.isfinite(losses).all():
        return False
    first, last, floor = beside_constant(evidence)
    if not np.isfinite(last):
        return False
    if np.isfinite(floor) and floor > 0:
        return last < _CLEARLY * floor
    if first > _LEAP * losses[0] > 0:
        # What the first steps have thrown up, and the next ones bring down again, was not learned.
        first = float(losses[0])
    return last < _CLEARLY * first if first > 0 else last < first - (1 - _CLEARLY) * abs(first)


def is_trained_already(evidence: Evidence) -> bool:
    """Say whether the network begins where others end: far below the best constant prediction's loss."""
    first, _, floor = beside_constant(evidence)
    return bool(np.isfinite(floor) and floor > 0 and first < _CLEARLY * floor)
