"""What is not finite, or lost in half precision, and where it comes from first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import BadOperation, Evidence, Step
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import learns
from vgtemplate.text import write_count

_HALF_LIMIT = 65504.0
_HUGE = 1e18
"""A finite input of this size, or an exponential's above 80, overflows; below, infinity has another source."""
_NEAR_ONE = 256.0
"""In float16: inputs up to this size do not overflow a division, unless by what is next to zero."""
_LOST, _STANDS = 0.3, 0.6
_AT_ZERO = ("log", "div", "rsqrt", "reciprocal", "norm", "loss", "entropy")
"""Functions that are infinite at zero; of the others infinity is too large a number."""


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look for the first value that is not finite, and for gradients below what half precision holds."""
    for step in evidence.all_steps():
        if (found := (_first_briefly if step.is_brief else _first)(evidence, step)) is not None:
            yield found
            break
    yield from _underflow(evidence)
    yield from _rounds_away(evidence)


def _first(evidence: Evidence, step: Step) -> Finding | None:
    if step.is_scaled and np.isfinite(step.loss):
        return None  # a scaler looks for overflows itself, and leaves such a step out
    names = [name for name, note in step.parameters.items() if not np.isfinite(note.weight_norm)]
    if names:
        return None
    gradients = [name for name, note in step.parameters.items() if not np.isfinite(note.gradient_norm)]
    # A row that is masked whole is NaN at once, also where nan_to_num keeps it from the loss.
    is_masked = step.bad is not None and step.bad.is_nan and step.bad.had_infinity and bool(gradients)
    if step.bad is not None and (
        not np.isfinite(step.loss) or is_masked or _overflows_in_half(step.bad, bool(gradients))
    ):
        return _forward(step, step.bad)
    if np.isfinite(step.loss) and gradients:
        return _backward(evidence, step, gradients)
    if not np.isfinite(step.loss) and step.nodes:
        return _in_the_loss(step)
    return None


def _in_the_loss(step: Step) -> Finding:
    seen = f"the loss is {step.loss}, and every value that was seen before it is finite"
    cause = "the loss's last steps put out what is not finite: a logarithm of 0, a division by 0, an exponential"
    return Finding("nan-forward", ("the loss",), step.number, seen, cause, "look at the loss's arguments", LIKELY)


def _first_briefly(evidence: Evidence, step: Step) -> Finding | None:
    """Tell of a step that was looked at briefly by its loss, and by some entries of weights and gradients."""
    if step.is_scaled or not all(np.isfinite(note.before).all() for note in step.parameters.values()):
        return None
    names = [name for name, note in step.parameters.items() if note.is_broken]
    if not names:
        return None
    return _backward(evidence, step, names) if np.isfinite(step.loss) else _in_the_loss(step)


def _overflows_in_half(bad: BadOperation, spoils: bool) -> bool:
    """Say whether a number was too large for float16; what divides by it hides that behind a finite loss."""
    return bad.dtype == "float16" and (spoils or not (bad.is_nan or bad.had_infinity))


def _forward(step: Step, bad: BadOperation) -> Finding:
    where = tuple(filter(None, [bad.module, f"{bad.function}() at {bad.place}" if bad.place else bad.function]))
    samples = f", in samples {', '.join(map(str, bad.samples[:8]))}" if bad.samples else ""
    seen = f"{'NaN' if bad.is_nan else 'infinity'} in {bad.dtype}{samples}; largest input {bad.largest_input:.3g}"
    is_at_zero = bad.had_zero and any(word in bad.function for word in _AT_ZERO)
    if bad.dtype == "float16" and is_at_zero and bad.largest_input < _NEAR_ONE:
        return Finding(
            "precision-underflow",
            where,
            step.number,
            f"{seen}; below 6e-8 float16 has no number but zero",
            "what is small in float32 is zero in float16, as 1e-8 is, and this function is infinite there",
            "keep this part in float32 (logarithms, divisions, norms), or take an epsilon of 1e-4",
            LIKELY,
        )
    if bad.dtype == "float16":
        return Finding(
            "precision-overflow",
            where,
            step.number,
            f"{seen}; float16 ends at {_HALF_LIMIT:,.0f}",
            "an activation is too large for float16; in float32 it would be finite",
            "bfloat16, or keep this part in float32, or scale the activation down",
        )
    is_overflow = not bad.is_nan and (bad.largest_input > _HUGE or not any(word in bad.function for word in _AT_ZERO))
    if is_overflow or (bad.is_nan and bad.had_infinity and bad.largest_input > _HUGE):
        return Finding(
            "overflow-forward",
            where,
            step.number,
            seen,
            "values grow on the way through the network until they pass the largest number",
            "a smaller initialisation or learning rate, a normalisation, or a stable form (logsumexp, softmax)",
        )
    masked = (
        " (its inputs hold infinities: a row that is masked whole has nothing to be normalised)"
        if bad.had_infinity
        else ""
    )
    return Finding(
        "nan-forward",
        where,
        step.number,
        seen + masked,
        "the parameters are finite, and this function is the first to put out what is not",
        "keep its input in its domain: an epsilon in logarithms and divisions, no row that is masked whole",
    )


def _backward(evidence: Evidence, step: Step, names: list[str]) -> Finding:
    layers = [name for name in evidence.measurements.layers if not np.isfinite(_norm(step, name))]
    where = tuple(layers[-1:] or names[-1:])
    edge = f"; {step.edge[0]}() has an input of exactly 0 ({step.edge[1]})" if step.edge else ""
    if step.bad is not None:
        what = "NaN" if step.bad.is_nan else "infinity"
        edge = (
            f"; {step.bad.function}() put out {what} at {step.bad.place or step.bad.module}, which the loss never saw"
        )
    halves = [note.dtype for note in step.layers.values() if note.dtype == "float16"]
    seen = f"the loss is {step.loss:.3g}; gradients of {write_count(len(names), 'parameter')} are not finite{edge}"
    if halves and not edge:
        cause, cure = "a gradient is too large for float16", "loss scaling (GradScaler), or bfloat16"
        return Finding("precision-overflow", where, step.number, seen, cause, cure)
    return Finding(
        "nan-backward",
        where,
        step.number,
        seen,
        "a derivative is infinite where its function is finite: a root or norm of 0, or the branch that where() hides",
        "add an epsilon inside (sqrt(x + 1e-12)), and guard the argument before where(), not the result",
    )


def _norm(step: Step, layer: str) -> float:
    note = step.layers.get(layer)
    return 0.0 if note is None or (np.isnan(note.norm) and not note.count) else note.norm


def _underflow(evidence: Evidence) -> Iterator[Finding]:
    shares: dict[str, list[float]] = {}
    for step in evidence.steps:
        for name, note in step.layers.items():
            if note.dtype == "float16" and np.isfinite(note.lost) and not step.is_scaled:
                shares.setdefault(name, []).append(note.lost)
    lost = {name: float(np.median(values)) for name, values in shares.items()}
    found = {name: share for name, share in lost.items() if share > _LOST}
    if found:
        yield Finding(
            "precision-underflow",
            tuple(found),
            evidence.steps[0].number,
            f"up to {max(found.values()):.0%} of dL/dz is zero or next to float16's smallest number, 6e-8",
            "gradients are too small for float16 and are rounded to nothing",
            "loss scaling (torch.amp.GradScaler), or bfloat16",
        )


def _rounds_away(evidence: Evidence) -> Iterator[Finding]:
    """Look for steps that are smaller than the distance between two numbers of half precision."""
    if not evidence.is_moved or learns(evidence):
        return
    halves = [each for each in evidence.parameters.values() if each.dtype in ("float16", "bfloat16")]
    # The gains of normalisations hardly move beside matrices that do.
    asked = [each for each in halves if each.is_matrix] or halves
    lost = {each.name: share for each in asked if (share := _share_that_stands(evidence, each.name)) > _STANDS}
    if lost:
        yield Finding(
            "precision-underflow",
            tuple(lost),
            evidence.steps[0].number,
            f"up to {max(lost.values()):.0%} of the weights that have a gradient are the same after a step",
            "the weights are kept in half precision, and the steps are smaller than what it can add to them",
            "keep the weights in float32 (autocast computes in half precision), or round at random",
            LIKELY,
        )


def _share_that_stands(evidence: Evidence, name: str) -> float:
    """Return the share of a parameter's entries that have a gradient and are the same after a step; the median."""
    notes = [step.parameters[name] for step in evidence.all_steps() if name in step.parameters]
    shares = [
        float((note.after == note.before)[note.gradient != 0].mean())
        for note in notes
        if len(note.after) == len(note.before) == len(note.gradient) and note.gradient.any()
    ]
    return float(np.median(shares)) if shares else 0.0
