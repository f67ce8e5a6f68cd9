"""The loss and what it is handed: a softmax too many, shapes that broadcast, targets that it cannot mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence, LossCall
from vgtemplate.doctor.losses import BINARY, CLASSES, DISTANCES, PAIRS, SIGNS
from vgtemplate.doctor.report import LIKELY, Finding

CODE = "loss-head-mismatch"
_TINY, _OFF, _CLOSE = 1e-3, 0.05, 1e-6
_SEVERAL = 3
"""Of fewer classes cosines keep the loss from falling by little."""
_Rule = Callable[[LossCall], tuple[str, str, str, str] | None]


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Look at every place where a loss is computed; what is wrong there is wrong in every step."""
    places: dict[tuple[str, str, str], list[tuple[int, LossCall]]] = {}
    for step in evidence.steps:
        for call in step.losses:
            # One line may hold several losses.
            places.setdefault((call.kind, call.place, call.made_by), []).append((step.number, call))
    for (kind, place, _), calls in places.items():
        for rule in _RULES:
            # Of a training that has diverged the numbers say nothing any more.
            finite = [call for _, call in calls if np.isfinite([*call.values.values()]).all()]
            found = [rule(call) for call in finite or [call for _, call in calls]]
            if all(found) and found[0] is not None:
                seen, cause, cure, confidence = found[-1] or found[0]
                where = f"{kind} at {place}" if place else kind
                yield Finding(CODE, (where,), calls[0][0], seen, cause, cure, confidence)
                break


def _is_distribution(call: LossCall) -> bool:
    values = call.values
    return values.get("low", -1) >= 0 and values.get("high", 2) <= 1 + _TINY and values.get("sum_off", 1) < _TINY


def _twice(call: LossCall) -> tuple[str, str, str, str] | None:
    made = call.made_by.lower()
    if call.kind == "cross_entropy":
        if made.startswith("softmax") or (_is_distribution(call) and call.input_shape[1] > 1):
            seen = f"rows of its input lie in [0, 1] and add up to 1 (made by {call.made_by or 'unknown'})"
            return (
                seen,
                "cross_entropy applies the softmax itself; after a second one the loss can hardly fall",
                _DROP,
                "certain",
            )
        if made.startswith(("sigmoid", "relu", "tanh")):
            seen = f"its input was made by {call.made_by}, in [{_range(call)}]"
            cause = "cross_entropy takes logits, of any sign and size; these cannot leave their range"
            return seen, cause, _DROP, "certain"
    before = call.made_before.lower()
    if call.kind in CLASSES and made.startswith("logsoftmax") and before.startswith(("softmax", "sigmoid", "tanh")):
        cause = "log_softmax takes logits, of any sign and size; these cannot leave their range"
        return f"what log_softmax was handed was made by {call.made_before}", cause, _DROP, "certain"
    if call.kind == "binary_cross_entropy" and made.startswith("sigmoid") and before.startswith(_BOUNDED):
        cause = "the last sigmoid takes logits, of any sign and size; these cannot leave their range"
        return f"what the sigmoid was handed was made by {call.made_before}", cause, _DROP_FIRST, "certain"
    if call.kind == "binary_cross_entropy_with_logits" and made.startswith(
        ("sigmoid", "softmax", "logsoftmax", "relu", "tanh")
    ):
        cause = "binary_cross_entropy_with_logits applies the sigmoid itself and takes logits of any sign"
        return f"its input was made by {call.made_by}, in [{_range(call)}]", cause, _DROP, "certain"
    return None


_BOUNDED = ("sigmoid", "softmax", "relu", "tanh")
_DROP_FIRST = "hand the sigmoid the layer's output, without the activation in front of it"
_DROP = "hand the loss the layer's output, without the activation in front of it"


def _range(call: LossCall) -> str:
    return f"{call.values.get('low', np.nan):.3g}, {call.values.get('high', np.nan):.3g}"


def _no_logarithm(call: LossCall) -> tuple[str, str, str, str] | None:
    off = call.values.get("lse_off", 0.0)
    if call.kind in ("nll_loss", "ctc_loss") and off > 0.05:
        seen = f"the exponentials of a row of its input add up to {np.exp(min(off, 50)):.3g} or its inverse, not to 1"
        return (
            seen,
            f"{call.kind} takes log-probabilities",
            "end in log_softmax, or use cross_entropy on the logits",
            "certain",
        )
    if call.kind == "kl_div" and call.values.get("high", 0.0) > 1e-4:
        cause = "kl_div takes log-probabilities, which are never above 0"
        return f"its input lies in [{_range(call)}]", cause, "take log_softmax of the input", "certain"
    if call.takes_logarithm and call.made_by.lower().startswith(("softplus", "exp", "relu", "sigmoid")):
        cause = "poisson_nll_loss takes the logarithm of the rate unless log_input=False says otherwise"
        seen = f"its input was made by {call.made_by}, in [{_range(call)}]: a rate"
        return seen, cause, "log_input=False, or the layer's output without its activation", "certain"
    return None


def _axis(call: LossCall) -> tuple[str, str, str, str] | None:
    axis, made = call.softmax_axis, call.made_by.lower()
    if axis is None or not made.startswith(("softmax", "logsoftmax")) or len(call.input_shape) != 2:
        return None
    if axis in (0, -2) and call.input_shape[0] > 1:
        cause = "the softmax runs over the samples of the batch, not over the classes"
        return f"softmax along axis {axis} of {call.input_shape}", cause, "dim=-1", "certain"
    return None


def _one_class(call: LossCall) -> tuple[str, str, str, str] | None:
    is_softmax = call.made_by.lower().startswith(("softmax", "logsoftmax"))
    last = call.input_shape[-1] if call.input_shape else 0
    axis_is_last = call.softmax_axis in (None, -1, len(call.input_shape) - 1)
    # The one column may have been taken out of its row since.
    is_all_one = call.made_by.lower().startswith("softmax") and call.values.get("low", 0.0) > 1 - _CLOSE
    if (call.kind == "cross_entropy" and len(call.input_shape) > 1 and call.input_shape[1] == 1) or (
        is_all_one or (is_softmax and last == 1 and len(call.input_shape) > 1 and axis_is_last)
    ):
        cause = "a softmax over one class is 1 whatever the network says: the loss is constant"
        return f"input {call.input_shape}", cause, "use a sigmoid for one output, or two outputs", "certain"
    return None


def _mixed(call: LossCall) -> tuple[str, str, str, str] | None:
    if not call.mixes_axes:
        return None
    cause = "channels or places were made to classes by view or reshape, which moves no axis: each row mixes the two"
    return (
        f"input {call.input_shape}",
        cause,
        "move the axis instead: output.movedim(1, -1), then flatten(0, -2) for rows of classes",
        "certain",
    )


def _shapes(call: LossCall) -> tuple[str, str, str, str] | None:
    if call.kind in CLASSES | PAIRS or call.input_shape == call.target_shape or _is_meant(call):
        return None
    try:
        together = int(np.prod(np.broadcast_shapes(call.input_shape, call.target_shape)))
    except ValueError:
        return None
    given, target = int(np.prod(call.input_shape)), int(np.prod(call.target_shape))
    if together > given and (together > target or call.kind != "difference"):
        seen = f"input {call.input_shape} against target {call.target_shape}: {together} differences"
        cause = "the shapes differ and are broadcast, so that every prediction is compared with every target"
        return seen, cause, "make the shapes equal, e.g. target.view_as(input)", "certain"
    return None


def _is_meant(call: LossCall) -> bool:
    """Say whether somebody has put in axes so that each is compared with each, as (B, N, 1) is with (B, 1, N)."""
    pairs = list(zip(call.input_shape, call.target_shape, strict=False))
    is_alike = len(call.input_shape) == len(call.target_shape) > 2
    return is_alike and any(one == 1 < two for one, two in pairs) and any(two == 1 < one for one, two in pairs)


def _targets(call: LossCall) -> tuple[str, str, str, str] | None:
    low, high = call.values.get("target_low", 0.0), call.values.get("target_high", 0.0)
    said = f"targets in [{low:.3g}, {high:.3g}]"
    if call.kind in BINARY and (low < -_TINY or high > 1 + _TINY):
        return said, f"{call.kind} takes targets between 0 and 1", "recode the targets to 0 and 1", "certain"
    if call.kind in SIGNS and -_TINY < low < _TINY:
        return said, f"{call.kind} takes targets of -1 and 1", "recode the targets: 2 * y - 1", "certain"
    if call.kind == "cross_entropy" and not call.target_is_class and low < -_TINY:
        return said, "probabilities are never negative", "give classes, or probabilities that add up to 1", "certain"
    if call.kind == "cross_entropy" and not call.target_is_class and call.target_sums is not None:
        sums, _, rows = call.target_sums
        if len(sums) > 1 and (total := float(sums.sum()) / rows) > 1 + _OFF:
            cause = "cross_entropy takes probabilities, which add up to 1 per sample"
            cure = "divide by their sum; of several labels per sample use binary_cross_entropy_with_logits"
            return f"a sample's targets add up to {total:.3g}", cause, cure, LIKELY
    return None


def _bounded(call: LossCall) -> tuple[str, str, str, str] | None:
    classes = call.input_shape[1] if len(call.input_shape) > 1 else 0
    if (
        not call.are_cosines
        or classes < _SEVERAL
        or max(abs(call.values.get(key, 9.0)) for key in ("low", "high")) > 1.01
    ):
        return None
    least = math.log1p((classes - 1) * math.exp(-2))
    seen = f"its input is a product of normalised vectors, in [{_range(call)}]"
    cause = f"cosines lie between -1 and 1: with {classes} classes the loss cannot fall below {least:.2g}"
    return seen, cause, "multiply them by a scale of 10 to 30, or divide by a temperature of 0.1 to 0.03", LIKELY


def _class_numbers(call: LossCall) -> tuple[str, str, str, str] | None:
    outputs = call.input_shape[1] if len(call.input_shape) > 1 else 0
    low, high = call.values.get("target_low", -1.0), call.values.get("target_high", 0.0)
    is_number = call.values.get("target_is_whole", 0.0) == 1 and low >= 0 and 1 < high < outputs
    if call.kind not in DISTANCES | {"difference"} or not is_number:
        return None
    cause = "every output is compared with the class's number, as if class 9 were more than class 1"
    seen = f"outputs {call.input_shape} against whole numbers from {low:g} to {high:g}, one per sample"
    return seen, cause, "cross_entropy, or targets by one_hot", "certain"


def _several(call: LossCall) -> tuple[str, str, str, str] | None:
    if call.kind not in BINARY or not call.made_by.lower().startswith("softmax") or call.target_sums is None:
        return None
    sums, _, rows = call.target_sums
    number = float(sums.sum()) / rows
    if len(sums) < 2 or abs(number - 1) < _OFF:
        return None
    cause = "a softmax gives one class the more the less it gives the others; here a sample has several, or none"
    return f"{number:.2g} labels per sample, against a softmax", cause, "a sigmoid per label", "certain"


def _out_of_reach(call: LossCall) -> tuple[str, str, str, str] | None:
    if call.kind not in DISTANCES | {"difference"} or call.target_is_class:
        return None
    low, high = call.values.get("target_low", 0.0), call.values.get("target_high", 0.0)
    made = call.made_by.lower()
    reach = next((each for name, each in _REACH.items() if made.startswith(name)), None)
    slack = 0.25 * max(call.values.get("target_std", 0.0), _TINY)
    if reach is None or (low >= reach[0] - slack and high <= reach[1] + slack):
        return None
    seen = f"targets in [{low:.3g}, {high:.3g}], outputs of {call.made_by} in [{reach[0]:g}, {reach[1]:g}]"
    return seen, "the output's activation cannot reach the targets", "drop it, or scale the targets", LIKELY


_REACH = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf), "softmax": (0.0, 1.0)}
_RULES: tuple[_Rule, ...] = (
    _one_class,
    _twice,
    _axis,
    _mixed,
    _no_logarithm,
    _shapes,
    _targets,
    _class_numbers,
    _several,
    _bounded,
    _out_of_reach,
)
