"""Whether an ill training shows what it is said to have, compared with its cured twin; in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from benchmarks.doctor.case import Case, Training, steps_of

if TYPE_CHECKING:
    from benchmarks.doctor.check import Seen

STILL = {"disconnected-parameters", "stuck-at-zero", "not-in-optimizer", "unregistered-parameters"}
FORWARD = {"nan-forward", "overflow-forward", "precision-overflow"}


def learned(seen: Seen, scored: bool) -> bool:
    """Whether a cured training is worth comparing with."""
    return seen.end < (0.6 if scored else 0.8 * seen.start)


def worse(seen: Seen, cured: Seen) -> bool:
    """Whether an ill training leaves a fifth or more of what the cured one gains."""
    if not math.isfinite(seen.end):
        return True
    if seen.score is not None:
        return seen.end > cured.end + 0.1
    return seen.end > cured.end + 0.2 * (cured.start - cured.end)


def nodes(value: Tensor) -> int:
    """Return how many nodes the graph of a tensor has."""
    seen, left = set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [each for each, _ in node.next_functions]
    return len(seen)


def grows(make: Callable[[int], Training], seed: int) -> bool:
    """Whether the loss's graph is longer at the tenth step than at the third."""
    counts = [nodes(value) for value in steps_of(make(seed), 10)]
    return counts[9] > counts[2]


def _broken(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and not bool(value.isfinite().all())
    if isinstance(value, tuple | list):
        return any(_broken(each) for each in value)
    return False


def breaks(make: Callable[[int], Training], steps: int, seed: int) -> str:
    """Return where the first number that is not finite is born: forward, backward or nowhere."""
    training = make(seed)
    born: list[str] = []

    def hook(module: Any, inputs: Any, output: Any) -> None:
        if _broken(output):
            born.append("forward")

    for module in training.model.modules():
        module.register_forward_hook(hook)
    for value in steps_of(training, steps):
        if born or _broken(value):
            return "forward"
        if any(_broken(each.grad) for each in training.model.parameters() if each.grad is not None):
            return "backward"
    return "nowhere"


def dead_share(make: Callable[[int], Training], steps: int, seed: int) -> float:
    """Return the largest share, over the ReLU layers, of units that no sample of the last eight batches switches on."""
    training = make(seed)
    on: dict[Any, Tensor] = {}
    counting = False

    def hook(module: Any, inputs: Any, output: Tensor) -> None:
        if counting:
            channel = 1 if output.dim() == 4 else output.dim() - 1
            lit = (output > 0).transpose(0, channel).flatten(1).any(1)
            on[module] = on[module] | lit if module in on else lit

    for module in training.model.modules():
        if type(module).__name__ in ("ReLU", "Hardtanh", "ReLU6"):
            module.register_forward_hook(hook)
    for step, _ in enumerate(steps_of(training, steps)):
        counting = step >= steps - 9
    return max((1 - float(each.float().mean()) for each in on.values()), default=0.0)


def depth_ratio(make: Callable[[int], Training], seed: int) -> float:
    """Return |dL/dz| of the first linear or convolutional layer over that of the last one, at the first step.

    Of weights it would not tell: with too small a gain the signal shrinks as the gradient does, towards the other end,
    and their products are as large everywhere.
    """
    training = make(seed)
    outputs: list[Tensor] = []

    def hook(module: Any, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    for module in training.model.modules():
        if type(module).__name__ in ("Linear", "Conv2d"):
            module.register_forward_hook(hook)
    next(steps_of(training, 1))
    norms = [float(each.grad.double().norm()) for each in outputs if each.grad is not None]
    return norms[0] / max(norms[-1], 1e-300)


def flat_share(make: Callable[[int], Training], seed: int) -> float:
    """Return the largest share, over the layers of tanh and the like, of outputs within 1 % of a bound; first step."""
    training = make(seed)
    bounds = {"Tanh": (-1.0, 1.0), "Hardtanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "ReLU6": (0.0, 6.0)}
    shares: list[float] = []

    def hook(module: Any, inputs: Any, output: Tensor) -> None:
        low, high = bounds[type(module).__name__]
        edge = 0.01 * (high - low)
        shares.append(float(((output < low + edge) | (output > high - edge)).float().mean()))

    for module in training.model.modules():
        if type(module).__name__ in bounds:
            module.register_forward_hook(hook)
    next(steps_of(training, 1))
    return max(shares, default=1.0)


def shown(case: Case, seen: Seen, cured: Seen, seed: int) -> tuple[bool, str]:
    """Return whether the fault shows, and in what."""
    assert case.cured is not None
    if case.label in STILL:
        still = sorted(cured.moved() - seen.moved())
        return bool(still), f"do not move: {', '.join(still)[:80]}"
    if case.label == "frozen-buffers-move":
        moved = sorted(seen.moved() - cured.moved())
        return any("running" in name for name in moved), f"move: {', '.join(moved)[:80]}"
    if case.label == "graph-grows":
        return grows(case.make, seed) and not grows(case.cured, seed), "graph counted"
    if case.label in FORWARD or case.label == "nan-backward":
        where, cured_where = breaks(case.make, case.steps, seed), breaks(case.cured, case.steps, seed)
        wanted = "backward" if case.label == "nan-backward" else "forward"
        return where == wanted and cured_where == "nowhere", f"breaks {where}, cured {cured_where}"
    scored = seen.score is not None
    if case.label == "dead-units":
        share = dead_share(case.make, case.steps, seed)
        return worse(seen, cured) and learned(cured, scored) and share > 0.5, f"dead {share:.2f}"
    if case.label == "vanishing-depth":
        ratio = depth_ratio(case.make, seed)
        return worse(seen, cured) and learned(cured, scored) and ratio < 0.05, f"first dL/dz {ratio:.2g} of the last"
    if case.label == "exploding-depth":
        ratio = depth_ratio(case.make, seed)
        return worse(seen, cured) and learned(cured, scored) and ratio > 20, f"first dL/dz {ratio:.2g} of the last"
    if case.label == "saturated-units":
        share = flat_share(case.make, seed)
        return worse(seen, cured) and learned(cured, scored) and share > 0.5, f"flat {share:.2f}"
    if case.label == "oscillation" and not seen.end < 20 * seen.start:
        return False, "diverges rather than oscillates"
    bad, good = worse(seen, cured), learned(cured, scored)
    return bad and good, f"{'worse' if bad else 'AS GOOD'}{'' if good else ', THE CURED ONE DOES NOT LEARN'}"
