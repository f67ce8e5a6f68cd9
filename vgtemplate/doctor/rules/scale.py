"""What is too large, too small or all alike from the start: inputs, targets, initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vgtemplate.doctor.evidence import NORMALISATIONS, Evidence
from vgtemplate.doctor.losses import DISTANCES
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import learns
from vgtemplate.text import write_count

_LARGE, _SMALL, _RATHER_SMALL, _SPREAD = 10.0, 1e-3, 1e-2, 1e3
_LARGE_TARGET, _SMALL_TARGET = 30.0, 1e-3


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at the scale of data and of initial weights."""
    yield from _inputs(evidence)
    yield from _targets(evidence)
    yield from _symmetric(evidence)
    yield from _twins(evidence)


def _inputs(evidence: Evidence) -> Iterator[Finding]:
    seen = [(step.number, step.inputs) for step in evidence.steps if step.inputs is not None]
    if not seen:
        return
    number, inputs = seen[0]
    rms, spread = inputs.rms, inputs.largest_feature / max(inputs.smallest_feature, 1e-300)
    is_uneven = spread > _SPREAD and inputs.largest_feature > _LARGE
    is_small = 0 < rms < _SMALL or (0 < rms < _RATHER_SMALL and not learns(evidence))
    if not np.isfinite(rms) or inputs.followed_by in NORMALISATIONS or not (rms > _LARGE or is_small or is_uneven):
        return
    yield Finding(
        "unscaled-inputs",
        (inputs.layer,),
        number,
        f"RMS {rms:.3g} (about 1 is usual), features {inputs.smallest_feature:.3g} to {inputs.largest_feature:.3g}",
        "the inputs reach the first layer as they are: its gradient is as many times larger as they are",
        "standardise each feature (subtract the mean, divide by the standard deviation); pixels: divide by 255",
        LIKELY,
    )


def _targets(evidence: Evidence) -> Iterator[Finding]:
    for step in evidence.steps[:1]:
        for call in step.losses:
            size, spread = call.values.get("target_rms", 0.0), call.values.get("target_std", 0.0)
            if call.kind not in DISTANCES | {"difference"} or call.target_is_class or not np.isfinite(size):
                continue
            output = call.values.get("rms", 0.0)
            is_large = size > _LARGE_TARGET and size > 10 * output
            is_small = 0 < size < _SMALL_TARGET and 10 * size < output and not learns(evidence)
            if is_large or is_small:
                yield Finding(
                    "unscaled-targets",
                    (f"{call.kind} at {call.place}",),
                    step.number,
                    f"targets of RMS {size:.3g} (spread {spread:.3g}), outputs of RMS {output:.3g}",
                    "the outputs have to grow before anything is learned, and the loss is as large as their square"
                    if is_large
                    else "beside the outputs the targets are all zero, and so is the loss when it has hardly begun",
                    "standardise the targets, and scale the predictions back afterwards",
                    LIKELY,
                )
                return


def _symmetric(evidence: Evidence) -> Iterator[Finding]:
    alike = evidence.constant
    hidden = [name for name in alike if not _is_last(evidence, name)]
    fixed = [name for name in hidden if _stays_alike(evidence, name)]
    matrices = [each.name for each in evidence.parameters.values() if each.is_matrix]
    all_zero = len(matrices) > 1 and all(alike.get(name) == "zero" for name in matrices)
    found = matrices if all_zero else fixed
    if found:
        what = "zero" if all_zero else "the same in all units of a layer"
        yield Finding(
            "symmetric-initialisation",
            tuple(found),
            0,
            f"the weights are {what} at the start, and still are after {write_count(len(evidence.steps), 'step')}",
            "units that start alike get the same gradient and stay alike: a layer has the power of one unit",
            "draw the weights at random (nn.init.kaiming_normal_, xavier_uniform_)",
        )


def _twins(evidence: Evidence) -> Iterator[Finding]:
    """Find layers that start as copies of each other, as by deepcopy, and are trained and still are."""
    first, last = evidence.steps[0].parameters, evidence.steps[-1].parameters
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, each in evidence.parameters.items():
        if each.is_matrix and each.is_trained and each.is_owned and name in first and name in last:
            start, end = first[name].before, last[name].after
            if len(start) == len(end) > 1 and np.ptp(start) > 0 and not np.array_equal(start, end):
                groups.setdefault((each.shape, start.tobytes(), end.tobytes()), []).append(name)
    found = [name for names in groups.values() if len(names) > 1 for name in names]
    if found and len(evidence.steps) > 2:
        yield Finding(
            "symmetric-initialisation",
            tuple(found),
            0,
            f"{write_count(len(found), 'parameter')} are copies of others at the start, and still are after"
            f" {write_count(len(evidence.steps), 'step')}",
            "layers that start alike and stand side by side get the same gradient: several have the power of one",
            "draw each anew, in place of copying one (copy.deepcopy, [layer] * n)",
        )


def _stays_alike(evidence: Evidence, name: str) -> bool:
    if evidence.still_constant.get(name) == "units":
        return True
    # What is no layer's weight, as a table of learning rates, may well begin with one value.
    is_weight = not evidence.order or not {name, name.rpartition(".")[0]}.isdisjoint(evidence.order)
    return evidence.constant[name] == "constant" and is_weight and not _is_spread_of_another(evidence, name)


def _is_spread_of_another(evidence: Evidence, name: str) -> bool:
    """Say whether its module has a matrix of the same shape that was drawn: a mean, and this its deviation."""
    own = evidence.parameters[name]
    return any(
        each.module == own.module and each.shape == own.shape and other not in evidence.constant
        for other, each in evidence.parameters.items()
        if other != name
    )


def _is_last(evidence: Evidence, name: str) -> bool:
    """Say whether it is the output's layer, which targets tell apart."""
    return bool(evidence.order) and name.rpartition(".")[0] == evidence.order[-1] and len(evidence.order) > 1
