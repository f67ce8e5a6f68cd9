"""How the weights move from step to step: how far, and whether in one direction."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

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
        if two.number - one.number != 1:
            continue
        pairs = [
            (note.gradient, two.parameters[name].gradient)
            for name, note in one.parameters.items()
            if name in two.parameters
        ]
        pairs = [(first, second) for first, second in pairs if len(first) == len(second) > 0]
        if pairs:
            a, b = (np.concatenate([pair[place] for pair in pairs]) for place in (0, 1))
            size = np.linalg.norm(a) * np.linalg.norm(b)
            found.append(float(a @ b / size) if size > 0 and np.isfinite(size) else float("nan"))
    return np.array(found)


def climbs(evidence: Evidence) -> float:
    """Return the cosine between a step and its gradient, the median over the watched steps; usually below zero."""
    found = []
    for step in evidence.all_steps():
        pairs = [(_update(note), note.gradient) for note in step.parameters.values()]
        pairs = [(way, gradient) for way, gradient in pairs if len(way) == len(gradient) > 0]
        if pairs:
            way, gradient = (np.concatenate([pair[place] for pair in pairs]) for place in (0, 1))
            size = np.linalg.norm(way) * np.linalg.norm(gradient)
            found += [float(way @ gradient / size)] if np.isfinite(size) and size > 0 else []
    return float(np.median(found)) if found else float("nan")


class Move(NamedTuple):
    """What a step has done to the kept entries of a matrix: squares of its way and size, their number."""

    known: Parameter
    way: float
    size: float
    entries: int


def moves(evidence: Evidence) -> list[list[Move]]:
    """Return what each watched step has done to each matrix that it moved."""
    matrices = {name: known for name, known in evidence.parameters.items() if known.is_matrix}
    found: list[list[Move]] = []
    for step in evidence.all_steps():
        found.append([])
        for name, note in step.parameters.items():
            if name in matrices and len(note.after) == len(note.before) > 0:
                way, size = note.after - note.before, note.before
                found[-1].append(Move(matrices[name], float(way @ way), float(size @ size), len(size)))
    return found


def ratios(steps: list[list[Move]]) -> Array:
    """Return the largest update of a matrix relative to its size, by watched step.

    One that begins near zero, as an output layer may, is taken to be as large as `_LEAST` of LeCun's initialisation.
    """
    return np.array(
        [
            max(
                (math.sqrt(each.way) / max(math.sqrt(each.size), _least_norm(each)) for each in step if each.size > 0),
                default=float("nan"),
            )
            for step in steps
        ]
    )


def _least_norm(move: Move) -> float:
    return _LEAST * math.sqrt(move.entries / max(1, math.prod(move.known.shape[1:])))


def overall_ratios(steps: list[list[Move]]) -> Array:
    """Return the update of all matrices together relative to their size, by step; one that begins at zero hides none.

    Each counts by its number of entries, of which only some were kept; how large it is at least, as in `ratios`.
    """
    found = []
    for step in steps:
        shares = [math.prod(each.known.shape) / each.entries for each in step]
        way = sum(share * each.way for share, each in zip(shares, step, strict=True))
        sizes = (max(each.size, _least_norm(each) ** 2) for each in step)
        size = sum(share * each for share, each in zip(shares, sizes, strict=True))
        found.append(math.sqrt(way / size) if size > 0 else float("nan"))
    return np.array(found, dtype=np.float64)


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
