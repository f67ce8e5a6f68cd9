"""How the weights move from step to step: how far, and whether in one direction."""

from __future__ import annotations

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence, ParameterStep, Step


def _vector(step: Step, of: str) -> dict[str, Array]:
    found = {}
    for name, note in step.parameters.items():
        values = _update(note) if of == "update" else note.gradient
        if len(values):
            found[name] = values
    return found


def _update(note: ParameterStep) -> Array:
    return note.after - note.before if len(note.after) == len(note.before) else np.empty(0)


def cosines(evidence: Evidence, of: str = "update") -> Array:
    """Return the cosine between the updates (or gradients) of each two watched steps that follow each other."""
    found = []
    for one, two in zip(evidence.steps, evidence.steps[1:], strict=False):
        if two.number - one.number == 1:
            first, second = _vector(one, of), _vector(two, of)
            names = [name for name in first if name in second and len(first[name]) == len(second[name])]
            if names:
                a, b = (np.concatenate([each[name] for name in names]) for each in (first, second))
                size = np.linalg.norm(a) * np.linalg.norm(b)
                found.append(float(a @ b / size) if size > 0 and np.isfinite(size) else float("nan"))
    return np.array(found)


def ratios(evidence: Evidence) -> Array:
    """Return the largest update of a matrix relative to its size, by watched step."""
    found = []
    for step in evidence.steps:
        sizes = [
            float(np.linalg.norm(_update(note)) / np.linalg.norm(note.before))
            for name, note in step.parameters.items()
            if name in evidence.parameters
            and evidence.parameters[name].is_matrix
            and len(note.after)
            and np.linalg.norm(note.before) > 0
        ]
        found.append(max(sizes, default=float("nan")))
    return np.array(found)


def straightness(evidence: Evidence) -> float:
    """Return how straight the weights' way is: the distance from start to end by the length of the way; 1 is a line."""
    steps = [step for step in evidence.steps if any(len(note.after) for note in step.parameters.values())]
    if len(steps) < 3:
        return float("nan")
    lengths = [np.linalg.norm(np.concatenate(list(_vector(step, "update").values()))) for step in steps]
    first, last = steps[0], steps[-1]
    ends = [
        last.parameters[name].after - note.before
        for name, note in first.parameters.items()
        if name in last.parameters and len(last.parameters[name].after) == len(note.before) > 0
    ]
    gaps = (last.number - first.number + 1) / len(steps)
    total = float(np.sum(lengths)) * gaps
    return float(np.linalg.norm(np.concatenate(ends)) / total) if ends and total > 0 else float("nan")
