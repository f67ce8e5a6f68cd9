"""How the weights move from step to step: how far, and whether in one direction."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence, Parameter, ParameterStep

_LEAST = 0.1


def _update(note: ParameterStep) -> Array:
    return note.after - note.before if len(note.after) == len(note.before) else np.empty(0)


def cosines(evidence: Evidence) -> Array:
    """Return the cosine between the gradients of each two watched steps that follow each other."""
    found = []
    steps = evidence.all_steps()
    for one, two in pairwise(steps):
        pairs = [
            (note.gradient, two.parameters[name].gradient)
            for name, note in one.parameters.items()
            if name in two.parameters
        ]
        pairs = [(first, second) for first, second in pairs if len(first) == len(second) > 0]
        if two.number - one.number == 1 and pairs:
            a, b = (np.concatenate([pair[place] for pair in pairs]) for place in (0, 1))
            size = np.linalg.norm(a) * np.linalg.norm(b)
            found.append(float(a @ b / size) if size > 0 and np.isfinite(size) else float("nan"))
    return np.array(found)


def ratios(evidence: Evidence) -> Array:
    """Return the largest update of a matrix relative to its size, by watched step.

    One that begins near zero, as an output layer may, is taken to be as large as `_LEAST` of LeCun's initialisation.
    """
    found = []
    for step in evidence.all_steps():
        sizes = [
            float(np.linalg.norm(_update(note))) / max(float(np.linalg.norm(note.before)), _least_norm(known, note))
            for name, note in step.parameters.items()
            if (known := evidence.parameters.get(name)) is not None
            and known.is_matrix
            and len(note.after)
            and np.linalg.norm(note.before) > 0
        ]
        found.append(max(sizes, default=float("nan")))
    return np.array(found)


def _least_norm(known: Parameter, note: ParameterStep) -> float:
    return _LEAST * math.sqrt(len(note.before) / max(1, math.prod(known.shape[1:])))


def overall_ratios(evidence: Evidence) -> Array:
    """Return the update of all matrices together relative to their size, by step; one that begins at zero hides none.

    Each counts by its number of entries, of which only some were kept.
    """
    found = []
    for step in evidence.all_steps():
        way = size = 0.0
        for name, note in step.parameters.items():
            known = evidence.parameters.get(name)
            if known is not None and known.is_matrix and len(note.after) == len(note.before) > 0:
                share = float(np.prod(known.shape)) / len(note.before)
                way += share * float(np.sum(_update(note) ** 2))
                size += share * float(np.sum(note.before**2))
        found.append(float(np.sqrt(way / size)) if size > 0 else float("nan"))
    return np.array(found)


def straightness(evidence: Evidence) -> float:
    """Return how straight the weights' way is: the distance from start to end by the length of the way; 1 is a line."""
    steps = [step for step in evidence.all_steps() if any(len(note.after) for note in step.parameters.values())]
    if len(steps) < 3:
        return float("nan")
    lengths = [np.linalg.norm(np.concatenate([_update(note) for note in step.parameters.values()])) for step in steps]
    first, last = steps[0], steps[-1]
    ends = [
        last.parameters[name].after - note.before
        for name, note in first.parameters.items()
        if name in last.parameters and len(last.parameters[name].after) == len(note.before) > 0
    ]
    gaps = (last.number - first.number + 1) / len(steps)
    total = float(np.sum(lengths)) * gaps
    return float(np.linalg.norm(np.concatenate(ends)) / total) if ends and total > 0 else float("nan")
