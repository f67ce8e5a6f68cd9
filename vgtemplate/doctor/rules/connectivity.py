"""What no gradient reaches although it should: paths that are cut, products of two zeros, graphs that grow."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence, Parameter
from vgtemplate.doctor.report import Finding
from vgtemplate.measure import DEAD
from vgtemplate.text import write_count

_FEW = 2
_MOST = 0.9
_GROWING = 5
_FLOOD = 100.0
"""Inputs of this size drive activations to where they are flat: there a gradient of zero is no cut."""


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at who gets a gradient."""
    stuck = list(_stuck(evidence))
    yield from stuck
    yield from _cut(evidence, bool(stuck))
    yield from _grows(evidence)
    yield from _kept(evidence)


def _history(evidence: Evidence, name: str) -> tuple[list[bool], np.ndarray, np.ndarray]:
    notes = [step.parameters[name] for step in evidence.steps if name in step.parameters]
    return (
        [note.has_gradient for note in notes],
        np.array([note.gradient_norm for note in notes]),
        np.array([note.weight_norm for note in notes]),
    )


def _rests(evidence: Evidence, name: str) -> bool:
    """Say whether a parameter does not move, as one does that follows another network."""
    notes = [step.parameters[name].before for step in evidence.steps if name in step.parameters]
    return len(notes) > _FEW and np.array_equal(notes[0], notes[-1])


def _stuck(evidence: Evidence) -> Iterator[Finding]:
    matrices = [each for each in evidence.parameters.values() if each.is_matrix]
    found = []
    for each in evidence.parameters.values():
        if not (each.is_trained and each.is_owned and each.is_used):
            continue
        has, gradients, weights = _history(evidence, each.name)
        if len(has) > _FEW and all(has) and not weights.any() and not gradients.any():
            found.append(each)
    zeros = [each for each in found if each.is_matrix or "bias" not in each.name]
    if not zeros or len(zeros) == len(matrices) or (len(zeros) == 1 and _lets_nothing_back(evidence)):
        return
    yield Finding(
        "stuck-at-zero",
        tuple(each.name for each in zeros),
        0,
        f"weights and gradients are exactly 0 in all of {write_count(len(evidence.steps), 'step')}",
        "each is multiplied by another that is zero, so neither ever gets a gradient"
        if len(zeros) > 1
        else "what is done with it has no slope at zero, as its square, its ReLU, or a product with another zero",
        "start one of the two at random values" if len(zeros) > 1 else "start it a little above zero",
    )


def _cut(evidence: Evidence, is_stuck: bool) -> Iterator[Finding]:
    cut: list[Parameter] = []
    alive = {name for name in evidence.parameters if _history(evidence, name)[1].any()}
    at_zero: dict[str, list[bool]] = {}
    owned = [each for each in evidence.parameters.values() if each.is_trained and each.is_owned]
    known = [each for each in owned if each.is_used or (each.is_used_apart and _rests(evidence, each.name))]
    for each in known:
        gradients = _history(evidence, each.name)[1]
        at_zero.setdefault(each.module, []).append(not np.nan_to_num(gradients, nan=1.0).any())
    for each in known:
        has, _, weights = _history(evidence, each.name)
        # Nothing comes to any of the layer's parameters: to a bias alone there may be nothing to learn from, as to the
        # last one of a network whose derivative is what is fitted.
        is_layer = all(at_zero[each.module])
        is_zero = is_layer and weights.any() and not is_stuck and not _is_flat(evidence, each)
        is_never = not any(has) and (is_layer or "bias" not in each.name.rpartition(".")[2])
        if len(has) > _FEW and (is_never or is_zero) and not _is_left_over(evidence, each.name, alive):
            cut.append(each)
    # Where nothing comes to any of them the reason may be elsewhere, unless none ever has a gradient at all.
    is_loss = len(cut) == len(known) and not any(any(_history(evidence, each.name)[0]) for each in cut)
    if not cut or not (is_loss or any(each.name in alive for each in known)):
        return
    never = [each.name for each in cut if not any(_history(evidence, each.name)[0])]
    steps = write_count(len(evidence.steps), "step")
    seen = f"used in the forward pass and in the optimiser, but no gradient in {steps}"
    if len(never) < len(cut):
        seen += f" (exactly zero in {len(cut) - len(never)} of them)"
    if all(each.is_used_apart and not each.is_used for each in cut):
        seen += "; all that uses them runs where no gradients are recorded, as under no_grad()"
    yield Finding(
        "disconnected-parameters",
        tuple(each.name for each in cut),
        evidence.steps[0].number,
        seen,
        "the path to the loss is cut: detach(), no_grad(), .data, argmax, rounding, or an output that nobody uses",
        "take out what cuts it, or freeze these parameters and leave them out of the optimiser",
    )


def _is_left_over(evidence: Evidence, name: str, alive: set[str]) -> bool:
    """Say whether it is part of a last block, and what it puts out is for a block behind, which is not there.

    Of the same block other parameters get gradients, and of each block before it the same parameter does.
    """
    found = re.match(r"(.*?)(\d+)(\..+)", name)
    if found is None:
        return False
    start, number, rest = found.groups()
    before = {f"{start}{index}{rest}" for index in range(int(number))}
    is_last = f"{start}{int(number) + 1}{rest}" not in evidence.parameters
    return bool(before) and before <= alive and is_last and any(each.startswith(f"{start}{number}.") for each in alive)


def _is_flat(evidence: Evidence, parameter: Parameter) -> bool:
    """Say whether a gradient of exactly zero has another reason than a cut."""
    slopes, dead = evidence.best_slopes(), _dead(evidence)
    place = evidence.order.index(parameter.module) if parameter.module in evidence.order else None
    # Dead units let nothing back to the layers before them, and hand nothing on to the layer behind them.
    near = (
        set(evidence.order[max(0, place - 1) :])
        if place is not None
        else {name for name in slopes if name in parameter.name}
    )
    has_zeros = any(kind == "zero" for kind in evidence.still_constant.values())
    is_none = _is_flooded(evidence) or has_zeros or _is_rounded_away(evidence) or not parameter.is_matrix
    return bool(dead & near) or is_none


def _lets_nothing_back(evidence: Evidence) -> bool:
    """Say whether some layer lets no gradient back, whatever it is that stands before it."""
    return bool(_dead(evidence)) or _is_flooded(evidence) or _is_rounded_away(evidence)


def _dead(evidence: Evidence) -> set[str]:
    return {name for name, best in evidence.best_slopes().items() if (best < DEAD).mean() > _MOST}


def _is_flooded(evidence: Evidence) -> bool:
    return any(step.inputs is not None and step.inputs.rms > _FLOOD for step in evidence.steps[:1])


def _is_rounded_away(evidence: Evidence) -> bool:
    """Say whether float16 has rounded what comes back to zero at some layer."""
    notes = [note for step in evidence.steps if not step.is_scaled for note in step.layers.values()]
    return any(note.dtype == "float16" and note.lost > _MOST for note in notes)


def _kept(evidence: Evidence) -> Iterator[Finding]:
    kept, steps = evidence.kept_graphs, len(evidence.steps)
    if kept >= _GROWING and kept >= steps - 3:
        yield Finding(
            "graph-grows",
            ("the losses",),
            evidence.steps[1].number,
            f"the graphs of {kept} earlier steps are still held",
            "losses or outputs are collected or added up as tensors, and each keeps its graph in memory",
            "collect loss.item() and output.detach()",
        )


def _grows(evidence: Evidence) -> Iterator[Finding]:
    nodes = np.array([step.nodes for step in evidence.steps if step.nodes])
    rises = np.diff(nodes)
    grows = len(nodes) > _GROWING and (rises > 0).all() and nodes[-1] > 1.5 * nodes[0]
    if grows or (evidence.goes_back_twice and len(nodes) > 1 and nodes[1] > nodes[0]):
        yield Finding(
            "graph-grows",
            ("the loss",),
            evidence.steps[1].number,
            f"nodes of the graph behind the loss: {', '.join(map(str, nodes[:3]))}, ..., {nodes[-1]}",
            "something of each step is kept with its graph: a hidden state, a running loss, a penalty",
            "detach what is carried over, and add up loss.item()",
        )
