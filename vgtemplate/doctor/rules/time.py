"""What becomes of the gradient on its way back through time, in recurrent layers and in cells that are called again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import beside_constant, learns

_VANISHES, _EXPLODES = -4.0, 2.5
"""Decades over the whole sequence."""
_FEW = 8
_BEGINS = 0.9
"""Of the best constant's loss: a recurrent network that is slow at first, as many are, is on its way below this."""


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at dL/dh over the time steps."""
    first, last, floor = beside_constant(evidence)
    if learns(evidence) or last < _BEGINS * min(first, floor):
        return
    for layer, by_step in evidence.measurements.over_time.items():
        profiles = [each for each in by_step.values() if len(each) >= _FEW and np.isfinite(each).all() and each[-1] > 0]
        if not profiles:
            continue
        falls = [_fall(each) for each in profiles]
        length, fall = len(profiles[0]), float(np.median(falls))
        if fall < _VANISHES:
            code, word, cause = (
                "vanishing-time",
                "falls",
                "the early inputs get no gradient, so what they say is not learned",
            )
            cure = (
                "LSTM or GRU with a forget bias of 1, an orthogonal recurrent matrix, attention, or shorter sequences"
            )
        elif fall > _EXPLODES:
            code, word, cause = "exploding-time", "grows", "each time step multiplies the gradient by a number above 1"
            cure = "clip the gradient's norm, an orthogonal or smaller recurrent matrix"
        else:
            continue
        seen = f"dL/dh {word} by 10^{abs(fall):.1f} over {length} time steps, on its way back to the first"
        yield Finding(code, (layer,), min(by_step), seen, cause, cure, LIKELY)
        return


def _fall(profile: np.ndarray) -> float:
    """Return by how many decades the gradient changes from the last time steps to the first."""
    floor = max(float(profile.max()) * 1e-30, 1e-300)
    with np.errstate(divide="ignore"):
        logs = np.log10(np.maximum(profile, floor))
    return float(np.median(logs[: max(1, len(logs) // 8)]) - np.max(logs[-max(1, len(logs) // 8) :]))
