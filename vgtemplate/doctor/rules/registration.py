"""Who moves and who does not: parameters outside of the optimiser or the network, statistics, gradients left over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.report import Finding
from vgtemplate.text import write_count


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at what the optimiser has, what the network has, and what moves."""
    yield from _not_owned(evidence)
    yield from _unregistered(evidence)
    yield from _thawed(evidence)
    yield from _stale(evidence)


def _not_owned(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.holds_copy and not any(each.is_owned for each in evidence.parameters.values()):
        return
    found = []
    for each in evidence.parameters.values():
        notes = [step.parameters[each.name] for step in evidence.steps if each.name in step.parameters]
        moved = len(notes) > 1 and len(notes[0].before) and not np.array_equal(notes[0].before, notes[-1].before)
        reached = sum(note.has_gradient and note.gradient_norm > 0 for note in notes)
        if each.is_trained and not each.is_owned and not moved and reached > len(notes) / 2:
            found.append(each.name)
    if found:
        foreign = (
            f"; the optimiser holds {evidence.foreign:,} numbers that the network does not have"
            if evidence.foreign
            else ""
        )
        yield Finding(
            "not-in-optimizer",
            tuple(found),
            evidence.steps[0].number,
            f"gradients reach {write_count(len(found), 'parameter')} that no optimiser has, and none moves{foreign}",
            "the optimiser was built before these parameters were, or was given others",
            "build the optimiser after the network is complete, or freeze them (requires_grad_(False))",
        )


def _unregistered(evidence: Evidence) -> Iterator[Finding]:
    steps = [step for step in evidence.steps if step.unregistered]
    if len(steps) <= len(evidence.steps) / 2:
        return
    places = dict.fromkeys(place for step in steps for place in step.unregistered)
    shapes = sorted({str(shape) for step in steps for shape in step.unregistered.values()})
    yield Finding(
        "unregistered-parameters",
        tuple(places),
        steps[0].number,
        f"weights of shape {', '.join(shapes[:4])} are used, and named_parameters() does not have them",
        "a layer is kept in a Python list or dict, or a parameter is a plain tensor, which the network does not know",
        "nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.Parameter",
    )


def _thawed(evidence: Evidence) -> Iterator[Finding]:
    moved: dict[str, list[float]] = {}
    for step in evidence.steps:
        for name, way in step.thawed.items():
            if way > 0:
                moved.setdefault(name, []).append(way)
    found = [name for name, ways in moved.items() if not _trained_elsewhere(evidence, name)]
    if found:
        yield Finding(
            "frozen-buffers-move",
            tuple(found),
            evidence.steps[0].number,
            f"running means of {len(found)} frozen normalisations move by up to {max(map(max, moved.values())):.2g}",
            "their weights are frozen, but they are in training mode, so that their statistics follow the batches",
            "call eval() on the frozen part after each train()",
        )


def _trained_elsewhere(evidence: Evidence, name: str) -> bool:
    """Say whether the weights move by other means, as those of a teacher that follows its student."""
    part = name.rpartition(".")[0]
    for each in evidence.parameters.values():
        # The weights beside it that an optimiser moves say nothing of it.
        if part and each.name.startswith(part) and not each.is_trained:
            notes = [step.parameters[each.name].before for step in evidence.steps if each.name in step.parameters]
            if len(notes) > 1 and not np.array_equal(notes[0], notes[-1]):
                return True
    return False


def _stale(evidence: Evidence) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    for step in evidence.steps:
        for name, norm in step.stale.items():
            counts[name] = counts.get(name, 0) + (norm > 0)
    found = [name for name, count in counts.items() if count > 1]
    if found:
        yield Finding(
            "stale-gradients",
            tuple(found),
            next(step.number for step in evidence.steps if step.stale),
            f"backward passes add to gradients that a step has used already, of {write_count(len(found), 'parameter')}",
            "gradients are added to those of earlier steps, because nothing clears them",
            "optimizer.zero_grad() before each backward pass (or each group of accumulated ones)",
        )
