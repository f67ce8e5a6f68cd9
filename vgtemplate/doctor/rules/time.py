"""What becomes of the gradient on its way back through time: in recurrent layers, in cells that are called again, and
in loops of the user's own, which show it at the places of the sequence that they are handed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import begins_far_off, beside_constant, learns

_VANISHES, _EXPLODES, _FAR_EXPLODES = -4.0, 2.5, 1.5
"""Decades over the whole sequence; the last where the loss begins far above that of any constant."""
_FEW, _FIRST = 8, 3
_BEGINS = 0.9
"""Of the best constant's loss: a recurrent network that is slow at first, as many are, is on its way below this."""
_FAR, _TIMES = 1e4, 1e3
"""Of the best constant's loss, and of the largest signal, from which a loop between two layers has blown it up."""
_STEADY = 0.9
"""Correlation of place and decades from which a gradient falls from place to place, and not at some places."""


class _Way(NamedTuple):
    """How dL/dh changes on its way back to a layer's first time step."""

    layer: str
    since: int
    decades: float
    length: int


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at dL/dh over the time steps."""
    first, last, floor = beside_constant(evidence)
    may_learn = learns(evidence) or last < _BEGINS * min(first, floor)
    # What training has to undo first was ill at the start, though it may be learned away.
    is_far = begins_far_off(evidence)
    if may_learn and not is_far:
        return
    # What training undoes is told from the first steps.
    most = _FIRST if is_far else None
    for layer, since, decades, length in (*_over_calls(evidence, most), *_over_places(evidence)):
        if decades < _VANISHES and not may_learn:
            code, word, cause = (
                "vanishing-time",
                "falls",
                "the early inputs get no gradient, so what they say is not learned",
            )
            cure = (
                "LSTM or GRU with a forget bias of 1, an orthogonal recurrent matrix, attention, or shorter sequences"
            )
        elif decades > (_FAR_EXPLODES if is_far else _EXPLODES):
            code, word, cause = "exploding-time", "grows", "each time step multiplies the gradient by a number above 1"
            cure = "clip the gradient's norm, an orthogonal or smaller recurrent matrix"
        else:
            continue
        seen = f"dL/dh {word} by 10^{abs(decades):.1f} over {length} time steps, on its way back to the first"
        yield Finding(code, (layer,), since, seen, cause, cure, LIKELY)
        return
    yield from _swells(evidence, first, floor)


def _swells(evidence: Evidence, first: float, floor: float) -> Iterator[Finding]:
    """Find a state that grows in a loop between two layers, where the gradient is as large at each place."""
    layers = evidence.steps[0].layers
    sequences = [name for name, note in layers.items() if len(note.by_place) >= _FEW]
    signals = {name: layers[name].signal for name in evidence.order if name in layers}
    if not sequences or len(signals) < 2 or not (np.isfinite(floor) and first > _FAR * floor > 0):
        return
    *before, last = signals.values()
    if last > _TIMES * max(before):
        yield Finding(
            "exploding-time",
            (evidence.order[-1],),
            evidence.steps[0].number,
            f"the loss begins at {first:.3g}, where one output for all has {floor:.3g}; no layer puts out more than"
            f" {max(before):.3g} (RMS), and after the sequence the last one puts out {last:.3g}",
            "the state that is carried over the time steps is multiplied by a number above 1 in each",
            "a decay below 1 (exp of a negative number), an orthogonal or smaller recurrent matrix, clipping",
            LIKELY,
        )


def _over_calls(evidence: Evidence, most: int | None) -> Iterator[_Way]:
    """Yield how it changes over the time steps of recurrent layers, and over the calls of cells, in so many steps."""
    for layer, by_step in evidence.measurements.over_time.items():
        # Of the last calls, whose outputs nobody reads, nothing comes back.
        read = [np.trim_zeros(each, "b") for each in by_step.values()]
        profiles = [each for each in read if len(each) >= _FEW and np.isfinite(each).all()]
        if profiles:
            decades = float(np.median([_fall(each) for each in profiles[:most]]))
            yield _Way(layer, min(by_step), decades, len(profiles[0]))


def _fall(profile: Array) -> float:
    """Return by how many decades the gradient changes from the last time steps to the first."""
    floor = max(float(profile.max()) * 1e-30, 1e-300)
    with np.errstate(divide="ignore"):
        logs = np.log10(np.maximum(profile, floor))
    return float(np.median(logs[: max(1, len(logs) // 8)]) - np.max(logs[-max(1, len(logs) // 8) :]))


def _over_places(evidence: Evidence) -> Iterator[_Way]:
    """Yield how it changes over the places of a sequence, at the first layer of the network."""
    found: dict[str, list[tuple[int, float, int]]] = {}
    for step in evidence.steps:
        for layer, note in step.layers.items():
            if len(note.by_place) >= _FEW:
                found.setdefault(layer, []).append((step.number, _steady_fall(note.by_place), len(note.by_place)))
    for layer, ways in found.items():
        yield _Way(layer, ways[0][0], float(np.median([decades for _, decades, _ in ways])), ways[0][2])


def _steady_fall(sizes: Array) -> float:
    """Return by how many decades the gradient changes from the last place to the first; NaN where it does not steadily.

    Where it is exactly zero a place is padded, or nobody reads it; the last one may be read by other ways too.
    """
    places = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))[:-1]
    if len(places) < _FEW:
        return float("nan")
    logs = np.log10(sizes[places])
    with np.errstate(invalid="ignore", divide="ignore"):
        if not abs(np.corrcoef(places, logs)[0, 1]) > _STEADY:
            return float("nan")
    return float(-np.polyfit(places, logs, 1)[0] * (places[-1] - places[0]))
