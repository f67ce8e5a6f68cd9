"""What depth does: gradients that vanish or explode, units that are dead, saturated or all alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import BOUNDED, WINDOW, Array, Evidence
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import begins_far_off, beside_constant, learns
from vgtemplate.measure import DEAD
from vgtemplate.text import write_count

_VANISHES, _EXPLODES = -2.5, 2.5
"""Decades of dL/dz over all layers."""
_VANISHED, _FAR_EXPLODES = -4.5, 1.5
"""The same of a network that learns nevertheless, and of one whose loss begins far above that of any constant."""
_FEW_LAYERS = 3
_ONE_JUMP = 0.7
_MANY_DEAD, _ALL_DEAD = 0.5, 0.95
_SATURATED, _FROM_THE_START = 0.75, 0.75
_FLAT_HEAD, _HALF_FLAT, _OFF, _STILL = 0.8, 0.5, 1.5, 1e-6
"""Of the outputs the share that is flat: of any network, and of one whose loss is so many times the best constant's."""
_ALIKE, _APART, _SAME, _NOTHING = 1.5e-2, 0.05, 1e-6, 0.02
_ONE_TARGET = 0.1


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at the profile over the layers, and at the activations between them."""
    yield from _profile(evidence)
    yield from _dead(evidence)
    yield from _saturated(evidence)
    yield from _head(evidence)
    yield from _collapse(evidence)
    yield from _one_for_all(evidence)


def profile(evidence: Evidence) -> tuple[list[str], Array]:
    """Return the layers with a matrix in the order of their use, and log10 of the size of dL/dz of each, (S, L).

    The size is that of a whole batch's dL/dz, so that layers of many positions compare with those of few.
    """
    names = [name for name in evidence.order if name in evidence.measurements.layers]
    series = evidence.series("gradient_rms")
    if not series.size or not names:
        return [], np.empty((0, 0))
    columns = [evidence.measurements.layers.index(name) for name in names]
    counts = [
        max([step.layers[name].count for step in evidence.steps if name in step.layers], default=1) for name in names
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return names, np.log10(series[:, columns] * np.sqrt(np.maximum(counts, 1)))


def _by_weights(evidence: Evidence) -> tuple[list[str], Array]:
    """Return the trained matrices as they are defined, and log10 of the size of the gradient of each, (S, L)."""
    names = [name for name, each in evidence.parameters.items() if each.is_matrix and each.is_trained and each.is_owned]
    steps = [step for step in evidence.steps if all(name in step.parameters for name in names)]
    sizes = [[np.linalg.norm(step.parameters[name].gradient) for name in names] for step in steps]
    with np.errstate(divide="ignore"):
        return names, np.log10(np.array(sizes, dtype=np.float64).reshape(len(steps), len(names)))


def _profile(evidence: Evidence) -> Iterator[Finding]:
    names, logs = profile(evidence)
    what, scale = "dL/dz", 1.0
    if not names and not evidence.order:
        # Nothing is seen to flow, as in a compiled network; from weight to weight gradients differ by more.
        names, logs = _by_weights(evidence)
        what, scale = "dL/dW", 2.0
    # In a game of two the losses say nothing of who learns, and the path leads through both.
    is_learning = learns(evidence)
    if len(names) < _FEW_LAYERS or evidence.num_optimisers > 1:
        return
    falls = np.array([_fall(row) for row in logs])
    finite = falls[np.isfinite(falls)]
    # Where nothing at all comes back there is no profile.
    if not len(finite) or np.isneginf(logs).all(axis=1).sum() > len(finite):
        return
    first, middle = float(np.median(finite[:3])), float(np.median(finite))
    if _is_one_jump(logs[0]):
        return
    is_far = begins_far_off(evidence)
    vanishes, explodes = _VANISHED if is_learning else _VANISHES, _FAR_EXPLODES if is_far else _EXPLODES
    if first < scale * vanishes and middle < scale * vanishes / 2:
        code, seen = "vanishing-depth", f"falls by 10^{-first:.1f} on its way back from {names[-1]} to {names[0]}"
        cause = (
            "every layer multiplies the gradient by a number below 1: its activation's derivative, or weights too small"
        )
        cure = (
            "ReLU-like activations with He initialisation (tanh with Xavier), a normalisation, or residual connections"
        )
    elif _grows(falls, scale * explodes) and (is_far or not is_learning):
        code, seen = "exploding-depth", f"grows by 10^{first:.1f} on its way back from {names[-1]} to {names[0]}"
        cause = "every layer multiplies the gradient by a number above 1: weights too large"
        cure = "He or Xavier initialisation, a normalisation, residual connections; clipping against single jumps"
    else:
        return
    number = evidence.steps[0].number
    seen = f"{what} {seen} ({write_count(len(names), 'layer')})"
    yield Finding(code, (names[0], names[-1]), number, seen, cause, cure, LIKELY)


def _grows(falls: Array, least: float) -> bool:
    """Say whether the gradient grows on its way back, at the start and at most steps."""
    finite = falls[np.isfinite(falls)]
    return bool(np.median(finite[:3]) > least and np.median(finite) > least / 2 and not falls[0] < least / 2)


def _is_one_jump(row: Array) -> bool:
    """Say whether most of a profile's change is at one place, which is no matter of depth."""
    changes = np.abs(np.diff(row[np.isfinite(row)]))
    return len(changes) > 1 and bool(changes.max() > _ONE_JUMP * changes.sum())


def _fall(row: Array) -> float:
    """Return by how many decades a profile changes from its last layers to its first, as a straight line has it."""
    finite = np.isfinite(row)
    if np.isneginf(row).mean() > 0.3 and not np.isneginf(row[-1]):
        return float("nan")
    if finite.sum() < _FEW_LAYERS:
        return float("nan")
    places = np.arange(len(row))[finite]
    slope = np.polyfit(places, row[finite], 1)[0]
    return float(-slope * (len(row) - 1))


def _dead(evidence: Evidence) -> Iterator[Finding]:
    shares = {name: float((best < DEAD).mean()) for name, best in evidence.best_slopes().items() if len(best)}
    kinds = {name: evidence.activations.get(name, "") for name in shares}
    one_sided = {name: share for name, share in shares.items() if kinds[name] not in BOUNDED}
    found = {name: share for name, share in one_sided.items() if share > _MANY_DEAD}
    if not found or len(evidence.steps) < 2:
        return
    # Of networks that are trained side by side the loss that was heard may be another's.
    may_learn = learns(evidence) or evidence.num_optimisers > 1
    if may_learn and not any(share > _ALL_DEAD for share in found.values()):
        return
    worst = max(found, key=lambda name: found[name])
    yield Finding(
        "dead-units",
        tuple(found),
        evidence.steps[0].number,
        f"{found[worst]:.0%} of the units of {worst} let no gradient through for any input",
        f"their {kinds[worst] or 'activation'} is flat for every input: a large step or bias has pushed them there",
        "a smaller learning rate, biases at zero, Leaky ReLU or ELU",
        LIKELY,
    )


def _saturated(evidence: Evidence) -> Iterator[Finding]:
    series = evidence.series("saturated_fraction")
    if not series.size:
        return
    medians = np.array(
        [float(np.median(column[np.isfinite(column)])) if np.isfinite(column).any() else 0.0 for column in series.T]
    )
    if learns(evidence):
        # What training makes of it is well where the loss falls; a network that begins so learns by its last layer.
        medians[~(np.fmin(series[0], medians) > _FROM_THE_START)] = 0.0
    shares = dict(zip(evidence.measurements.layers, medians, strict=True))
    last = evidence.order[-1] if evidence.order else ""
    found = {
        name: float(share)
        for name, share in shares.items()
        if share > _SATURATED and evidence.activations.get(name) in BOUNDED and name != last
    }
    if found:
        worst = max(found, key=lambda name: found[name])
        yield Finding(
            "saturated-units",
            tuple(found),
            evidence.steps[0].number,
            f"{found[worst]:.0%} of the outputs of {worst} have a derivative below a tenth of the largest",
            f"its {evidence.activations[worst]} is on its flat ends: weights or inputs are too large",
            "smaller initial weights, scaled inputs, a normalisation in front of the activation",
            LIKELY,
        )


def _head(evidence: Evidence) -> Iterator[Finding]:
    calls = [step.losses[0] for step in evidence.steps if len(step.losses) == 1]
    if not calls or learns(evidence) or len(calls) < len(evidence.steps):
        return
    flat = float(np.median([call.values.get("flat", 0.0) for call in calls]))
    _, last, floor = beside_constant(evidence)
    made, before = calls[0].made_by, calls[0].made_before
    # What scales or shifts it lets no gradient through either.
    if before.lower() in BOUNDED and _stands_still(evidence):
        made, seen = before, f"no gradient comes back through {before} any more"
    elif flat > (_HALF_FLAT if last > _OFF * floor else _FLAT_HEAD) and not (np.isfinite(floor) and last < floor):
        seen = f"{flat:.0%} of the outputs lie on the flat ends of {made}"
    else:
        return
    yield Finding(
        "saturated-output",
        (f"{made} at {calls[0].place}",),
        evidence.steps[0].number,
        f"{seen}, and the loss stays at {last:.3g}",
        "the output is sure of itself before it has learned, and its derivative lets hardly any gradient through",
        "smaller weights in the last layer, or a loss that takes logits (binary_cross_entropy_with_logits)",
        LIKELY,
    )


def _stands_still(evidence: Evidence) -> bool:
    """Say whether hardly anything is left of the largest gradient in the newest steps."""
    largest = [max((note.gradient_norm for note in step.parameters.values()), default=0.0) for step in evidence.steps]
    return len(largest) > WINDOW and bool(np.max(largest[-WINDOW:]) <= _STILL * np.max(largest[:WINDOW]))


def _collapse(evidence: Evidence) -> Iterator[Finding]:
    if learns(evidence) or evidence.num_optimisers > 1:
        return
    every = {name: evidence.spreads(name) for name in evidence.order}
    spreads = {name: float(np.median(values)) for name, values in every.items() if len(values)}
    names = list(spreads)
    if len(names) < 2:
        return
    # What differs again further on was no collapse: an embedding of what all samples have in common, added to others.
    # An output that is itself next to zero tells nothing of that.
    hidden = names[:-1] if all(spreads[name] < _ALIKE for name in names[-4:-1]) and len(names) > 4 else names
    alive = max((index for index, name in enumerate(hidden) if spreads[name] >= _ALIKE), default=-1)
    if not spreads[names[0]] > _APART and not all(value < _SAME for value in spreads.values()):
        return
    if found := hidden[alive + 1 :]:
        yield Finding(
            "signal-collapse",
            tuple(found),
            evidence.steps[0].number,
            f"the samples of a batch differ by {spreads[found[0]]:.1g} of their size at {found[0]},"
            f" by {spreads[names[0]]:.2g} at {names[0]}",
            "the layers map all inputs to almost the same point, so that nothing is left to tell them apart",
            "larger initial weights, a normalisation, residual connections",
            LIKELY,
        )


def _one_for_all(evidence: Evidence) -> Iterator[Finding]:
    """Find a network that gives all samples one output though its loss falls: it may be content with that."""
    if not learns(evidence) or evidence.num_optimisers > 1 or _asks_for_one(evidence):
        return
    spreads = {name: values for name in evidence.order if len(values := evidence.spreads(name)) > 2 * WINDOW}
    if len(spreads) < 2:
        return
    *before, last = spreads
    ends, apart = (float(np.median(spreads[name][-WINDOW:])) for name in (last, before[0]))
    if apart > _APART and ends < _NOTHING * max(_APART, float(spreads[last].max())):
        yield Finding(
            "signal-collapse",
            (last,),
            evidence.steps[0].number,
            f"the samples of a batch differ by {ends:.1g} of their size at {last}, by {apart:.2g} at {before[0]}",
            "the loss falls, but all inputs have one output: a loss that this satisfies, or a code that all share",
            "what keeps outputs apart: negatives, a stopped gradient with a predictor, a term for their variance;"
            " of a codebook: entries that begin where the codes are",
            LIKELY,
        )


def _asks_for_one(evidence: Evidence) -> bool:
    """Say whether targets hardly differ beside their size, as 50 and 51 do, so that outputs need not either."""
    asked = [call.values for step in evidence.steps for call in step.losses if "target_std" in call.values]
    return bool(asked) and all(values["target_std"] < _ONE_TARGET * values["target_rms"] for values in asked)
