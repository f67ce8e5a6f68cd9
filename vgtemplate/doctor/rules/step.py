"""Steps that are too large or too small, that jump back and forth, or rest on statistics of a few samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, islice

import numpy as np

from vgtemplate.doctor.evidence import Array, Evidence
from vgtemplate.doctor.report import LIKELY, Finding
from vgtemplate.doctor.rules.learning import beside_constant, is_trained_already, learns, smooth
from vgtemplate.doctor.rules.motion import Move, cosines, moves, overall_ratios, ratios, straightness

_LARGE_RATIO, _WILD, _SMALL_RATIO = 0.1, 0.25, 2e-6
_DIVERGED, _THROWN, _STRAY, _LEARNED = 3.0, 10.0, 1.5, 0.9
_MANY_STEPS, _NOWHERE, _NOT_FAR, _RISES = 30, 5e-3, 0.02, 1.5
"""After so many steps a way of less than this share of the weights' size has taught nothing, of less than the other one
where none of the loss is gone; a warm-up goes on."""
_SMALL_AND_STRAIGHT, _SAME_WAY, _STRAIGHT, _HARDLY = 3e-4, 0.8, 0.9, 0.97
"""Steps below this share that all lead one way, while hardly any of the loss is gone."""
_BACK, _STRAIGHT_BACK = -0.5, -0.8
"""Cosine between following gradients: of a loss that does not fall at all, and of one that has fallen and rests."""
_STAYS, _FALLEN, _ALL_LEARNED = 0.95, 0.5, 0.1
_FEW_WEIGHTS = 16
"""Gradients of so few entries point against each other by chance: that of one weight has a sign and nothing else."""
_HEAVY = 0.995
"""A momentum that averages over more than 200 steps; of large networks 0.99 is in use."""
_COLLAPSED = 0.02
_SMOOTH, _DOWN, _UP = 5, 0.6, 0.85
"""Losses that are taken together; of the first loss: what is far down, and what is up again."""
_FADED, _ALIVE, _LEFT = 1e-4, 0.1, 0.2
"""Of what it was at first: a step that has come to nothing, a gradient that has not, a loss that could still fall."""
_TINY_BATCH = 4
_FEW_VALUES = 16


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at how the weights move, and at what the loss does meanwhile."""
    if evidence.is_moved:
        steps = moves(evidence)
        yield from _too_large(evidence, steps)
        # One finding per code: the one that knows most of the cause.
        yield from islice(chain(_is_carried(evidence), _oscillates(evidence), _swings(evidence)), 1)
        yield from islice(chain(_fades(evidence, steps), _too_small(evidence, steps)), 1)
    yield from _tiny_batch(evidence)


def _too_large(evidence: Evidence, steps: list[list[Move]]) -> Iterator[Finding]:
    losses, sizes = evidence.losses(), ratios(steps)
    ratio = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else float("nan")
    peak = float(np.nanmax(sizes)) if np.isfinite(sizes).any() else float("nan")
    # Of all weights together: one matrix that begins near zero moves by much more than its size.
    every = overall_ratios(steps)
    is_wild = bool(np.isfinite(every).any() and np.nanmedian(every) > _WILD)
    is_wild |= _is_thrown(losses, peak)
    if (
        len(losses) < 3
        or not np.isfinite(losses[0])
        or (learns(evidence) and not is_wild)
        or _ends_in_backward(evidence)
    ):
        return
    first = abs(float(losses[0])) + 1e-12
    finite = losses[np.isfinite(losses)]
    _, last = smooth(losses)
    # A loss that is a reward's negative lies around zero: three times its first value means nothing.
    is_distance = bool(finite.min() >= 0)
    rises = is_distance and bool(finite.max() > _DIVERGED * first and not last < _LEARNED * first)
    # A step whose loss alone is not finite, as of a batch without a target, has not thrown the weights away.
    breaks = not np.isfinite(losses[-1]) and len(finite) > 1
    collapse = _collapse(evidence)
    _, own, floor = beside_constant(evidence)
    is_astray = evidence.num_optimisers == 1 and rises and own > _STRAY * floor > 0
    if (peak > _LARGE_RATIO and (rises or breaks)) or is_astray:
        how = f"the loss goes from {losses[0]:.3g} to {'NaN' if breaks else f'{finite.max():.3g}'}"
    elif collapse is not None and ratio > 0.01 and _is_stuck(evidence):
        how = collapse
    elif is_wild or (ratio > _LARGE_RATIO and np.isfinite(last) and last > 0.98 * first):
        how = f"the loss goes from {losses[0]:.3g} to {last:.3g}"
    else:
        return
    yield Finding(
        "step-too-large",
        ("the optimiser",),
        evidence.steps[0].number,
        f"a step moves a weight matrix by up to {peak:.2g} of its size (about 0.001 to 0.01 is usual), and {how}",
        "the learning rate is too large for this network",
        "a learning rate 10 times smaller, warm-up, or clipping",
        LIKELY,
    )


def _ends_in_backward(evidence: Evidence) -> bool:
    """Say whether a backward pass has put out what is not finite, of a loss that no step had thrown up before."""
    steps = evidence.all_steps()
    highest = steps[0].loss
    for step in steps:
        highest = max(highest, step.loss)
        is_broken = any(note.is_broken for note in step.parameters.values())
        if is_broken or not np.isfinite(step.loss):
            return is_broken and not step.is_scaled and highest < _DIVERGED * abs(steps[0].loss)
    return False


def _is_thrown(losses: Array, peak: float) -> bool:
    """Say whether a step moved a matrix by more than its size, and the loss left its beginning far behind."""
    finite = losses[np.isfinite(losses)]
    return peak > 1 and len(finite) > 0 and bool(finite.min() >= 0 and finite.max() > _THROWN * losses[0] > 0)


def _is_stuck(evidence: Evidence) -> bool:
    _, last, floor = beside_constant(evidence)
    return bool(np.isfinite(floor) and last > 0.9 * floor)


def _collapse(evidence: Evidence) -> str | None:
    """Say how far the samples' representations have moved together at the last hidden layer."""
    hidden = [name for name in evidence.order[:-1] if name in evidence.steps[0].layers]
    for name in reversed(hidden):
        values = evidence.spreads(name)
        if len(values) > 4:
            after = float(np.median(values[-3:]))
            if values[0] > 0.01 and after < _COLLAPSED * values[0]:
                return (
                    f"the spread of the samples at {name} falls from {values[0]:.2g} to {after:.2g}: one output for all"
                )
            return None
    return None


def _oscillates(evidence: Evidence) -> Iterator[Finding]:
    turns = cosines(evidence)
    turns = turns[np.isfinite(turns)]
    if len(turns) < 8:
        return
    later, losses = turns[len(turns) // 2 :], evidence.losses()
    is_bounded = bool(np.isfinite(losses).all() and losses.max() < _DIVERGED * max(abs(losses[0]), 1e-12))
    rests = losses[len(losses) // 2 :]
    stays = len(rests) > 4 and float(np.median(rests[-3:])) > _STAYS * float(np.median(rests[:3]))
    least = _STRAIGHT_BACK if stays else _BACK
    # A loss that has fallen and rests may rest at its minimum, where batches pull to and fro.
    has_fallen = bool(np.median(rests) < _FALLEN * losses[0])
    may_rest = has_fallen and sum(math.prod(each.shape) for each in evidence.parameters.values()) < _FEW_WEIGHTS
    may_rest |= bool(np.median(rests) < _ALL_LEARNED * losses[0])
    is_in_vain = not learns(evidence) or (stays and not may_rest)
    if is_bounded and float(np.median(later)) < least and is_in_vain:
        yield Finding(
            "oscillation",
            ("the optimiser",),
            evidence.all_steps()[-len(later)].number,
            f"the gradients of following steps point against each other (median cosine {np.median(later):.2f})",
            "each step jumps across the valley, and the next one back",
            "a learning rate 2 to 4 times smaller",
            LIKELY,
        )


def _is_carried(evidence: Evidence) -> Iterator[Finding]:
    """Find a momentum that holds on to gradients for too long, or for far longer than to their squares.

    Adam's own condition is beta1 ** 2 < sqrt(beta2) (Kingma and Ba 2015, section 4).
    """
    for kept, squares in evidence.decay_rates:
        if kept < 1 and (kept > _HEAVY or kept**4 > squares > 0):
            seen = f"beta1 is {kept:g} and beta2 {squares:g}" if squares < 1 else f"the momentum is {kept:g}"
            yield Finding(
                "oscillation",
                ("the optimiser",),
                evidence.steps[0].number,
                f"{seen}: a gradient moves the weights for some {_round(1 / max(1 - kept, 1e-9)):,} steps",
                "the steps add up, and carry the weights far past where the loss was low",
                "a momentum of 0.9; of Adam betas=(0.9, 0.999), the smaller one first",
                LIKELY,
            )
            return


def _swings(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that goes far down and comes up again, as under a momentum that carries the weights past."""
    losses = evidence.losses()
    first, _, floor = beside_constant(evidence)
    if len(losses) < _MANY_STEPS or evidence.num_optimisers > 1 or not np.isfinite([*losses, floor]).all():
        return
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, _SMOOTH), axis=1)
    lowest, last = int(np.argmin(medians)), float(medians[-1])
    is_own = np.isclose(first, np.median(losses[:3]), rtol=1e-3)
    if is_own and medians[lowest] < _DOWN * losses[0] and last > _UP * max(losses[0], floor):
        yield Finding(
            "oscillation",
            ("the optimiser",),
            evidence.all_steps()[lowest].number,
            f"the loss goes from {losses[0]:.3g} down to {medians[lowest]:.3g} and up again to {last:.3g}",
            "the steps, or the momentum that adds them up, carry the weights past where the loss was low",
            "a learning rate 2 to 4 times smaller, or a momentum further from 1",
            LIKELY,
        )


def _too_small(evidence: Evidence, steps: list[list[Move]]) -> Iterator[Finding]:
    losses, sizes = evidence.losses(), overall_ratios(steps)
    sizes = sizes[np.isfinite(sizes)]
    if len(losses) < 8 or not len(sizes) or not np.isfinite(losses).all() or learns(evidence):
        return
    first, last = smooth(losses)
    largest = float(np.max(sizes[len(sizes) // 2 :]))
    gradients = [note.gradient_norm for note in evidence.steps[-1].parameters.values()]
    watched = evidence.all_steps()
    number, rises = watched[-1].number - watched[0].number, sizes[-1] > _RISES * np.median(sizes[: len(sizes) // 2])
    # Where it is not known how far there is to go, as in fine-tuning, small steps may be meant.
    stays = last > _HARDLY * first and np.isfinite(beside_constant(evidence)[2])
    way, is_settled = number * largest, number >= _MANY_STEPS and not rises
    leads_nowhere = way < (_NOT_FAR if stays else _NOWHERE) or (stays and _is_on_its_way(evidence, largest))
    is_small = largest < _SMALL_RATIO or (is_settled and leads_nowhere)
    if is_small and any(gradients) and not is_trained_already(evidence):
        yield Finding(
            "step-too-small",
            ("the optimiser",),
            evidence.steps[0].number,
            f"a step moves the weights by less than {largest:.1g} of their size; the way is straight"
            f" ({straightness(evidence):.2f}), and the loss goes from {first:.4g} to {last:.4g}",
            "the learning rate is too small: to change a weight by its own size would take"
            f" {_round(1 / max(largest, 1e-12)):,} steps",
            "a learning rate 10 to 1000 times larger",
            LIKELY,
        )


def _is_on_its_way(evidence: Evidence, largest: float) -> bool:
    """Say whether small steps all lead the same way, so that larger ones would lead there sooner."""
    turns = cosines(evidence)
    # Batches may each point elsewhere, and yet all lead one way on the whole.
    least = _SAME_WAY if np.isfinite(turns).any() and np.nanmedian(turns) > _SAME_WAY else _STRAIGHT
    return bool(straightness(evidence) > least and 0 < largest < _SMALL_AND_STRAIGHT)


def _round(number: float) -> int:
    """Return the nearest power of ten."""
    return int(10 ** round(math.log10(number)))


def _fades(evidence: Evidence, moved: list[list[Move]]) -> Iterator[Finding]:
    """Find a schedule that takes the rate away: for half of the steps they are nothing, though there are gradients."""
    steps, sizes = evidence.all_steps(), overall_ratios(moved)
    if len(steps) < 8 or not np.isfinite(sizes).all():
        return
    numbers = np.array([step.number for step in steps])
    middle = (numbers[0] + numbers[-1]) / 2
    later, early = sizes[numbers >= middle], float(np.max(sizes[:3]))
    first, last = smooth(evidence.losses())
    if np.max(later) < _FADED * early and last > _LEFT * first > 0 and _keeps_gradients(evidence, middle):
        since = int(numbers[np.flatnonzero(sizes >= _FADED * early)[-1] + 1])
        yield Finding(
            "step-too-small",
            ("the optimiser",),
            since,
            f"a step moved the weights by {early:.1g} of their size at first, and from step {since} on by less than"
            f" {_FADED * early:.1g}, though the gradients are as large; the loss rests at {last:.4g}",
            "the schedule takes the learning rate away long before the training ends",
            "a schedule that is as long as the training; scheduler.step() per epoch where it counts epochs",
            LIKELY,
        )


def _keeps_gradients(evidence: Evidence, middle: float) -> bool:
    """Say whether the largest gradients after the middle of the training are of the size of the first ones."""
    largest = [
        (step.number, max((note.gradient_norm for note in step.parameters.values()), default=0.0))
        for step in evidence.steps
    ]
    before, after = [size for _, size in largest[:3]], [size for number, size in largest if number >= middle]
    return bool(after) and bool(np.median(after) > _ALIVE * np.median(before) > 0)


def _tiny_batch(evidence: Evidence) -> Iterator[Finding]:
    counts: dict[str, list[tuple[int, int]]] = {}
    for step in evidence.steps:
        for name, count in step.batch_counts.items():
            counts.setdefault(name, []).append(count)
    small = {}
    for name, seen in counts.items():
        values, samples = np.median([each[0] for each in seen]), np.median([each[1] for each in seen])
        # Of pictures each place counts: two large ones have statistics that two numbers have not.
        if (samples <= 2 and values <= 4 * _FEW_VALUES) or (samples <= _TINY_BATCH and values <= _FEW_VALUES):
            small[name] = int(values), int(samples)
    if small:
        values, samples = next(iter(small.values()))
        yield Finding(
            "batchnorm-tiny-batch",
            tuple(small),
            evidence.steps[0].number,
            f"batches of {samples} samples: mean and variance rest on {values} values per channel",
            "batch statistics of so few samples are noise, and the running ones do not fit them",
            "larger batches, GroupNorm or LayerNorm instead, or frozen statistics (eval() on these layers)",
        )
