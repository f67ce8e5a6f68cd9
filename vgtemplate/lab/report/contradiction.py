"""Which of two claims that contradict each other is right, and why, in words made of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.judge import CONFIRMED, REFUTED
from vgtemplate.text import write_number

VANISHES, RESCUES = "batchnorm-sigmoid-insufficient", "batchnorm-rescues-sigmoid"
"""One says that with batch normalisation the gradient still vanishes, the other that such networks can be used."""

_SENTENCES = {
    (REFUTED, CONFIRMED): "{rescues} is right and {vanishes} is not: the gradient does not vanish, and the network "
    "trains. Batch normalisation divides each layer's backward factor by the same deviation as its forward signal, so "
    "that what is multiplied is not the small derivative itself.",
    (CONFIRMED, CONFIRMED): "both say something true: the gradient does shrink towards the input, as {vanishes} has "
    "it, but by too little to keep the network from training, so that its conclusion does not follow and {rescues} is "
    "right about what can be used.",
    (CONFIRMED, REFUTED): "{vanishes} is right: the gradient still shrinks towards the input, and no network reaches "
    "the accuracy that {rescues} promises.",
    (REFUTED, REFUTED): "neither is right: the gradient does not vanish, against {vanishes}, and yet no network "
    "reaches the accuracy that {rescues} promises, for a reason other than a vanishing gradient.",
}
"""By the verdicts of the two claims' parts on one activation."""
_UNDECIDED = "the seeds disagree, so that neither {vanishes} nor {rescues} can be said to be right."


@dataclass(frozen=True)
class _Part:
    verdict: str
    median: float


def _parts(claim: ClaimConfig, result: Mapping[str, Any], metric: str) -> dict[str, _Part]:
    """Return, by arm, the verdict and median effect of the parts that judge `metric` of one arm."""
    found = {}
    for part, judged in zip(claim.parts, result["parts"], strict=False):
        effects = [float("nan") if effect is None else float(effect) for effect in judged["effects"]]
        if part.metric == metric and len(part.arms) == 1 and effects:
            found[part.arms[0]] = _Part(judged["verdict"], statistics.median(effects))
    return found


def settle(
    results: Mapping[str, Mapping[str, Any]], claims: Mapping[str, ClaimConfig], depths: Mapping[str, int]
) -> list[str]:
    """Return a paragraph for the activations that came out alike; none if one of the claims has no verdict.

    Args:
        results: by claim.
        claims: by name.
        depths: number of hidden layers of the arms of VANISHES, over which the slope is added up.
    """
    if not all(name in results and name in claims for name in (VANISHES, RESCUES)):
        return []
    slopes = _parts(claims[VANISHES], results[VANISHES], "gradient_slope")
    accuracies = _parts(claims[RESCUES], results[RESCUES], "test_accuracy")
    alike: dict[str, list[str]] = {}
    for arm in slopes:
        if arm in accuracies:
            words = _SENTENCES.get((slopes[arm].verdict, accuracies[arm].verdict), _UNDECIDED)
            alike.setdefault(words, []).append(arm)
    paragraphs = []
    for words, arms in alike.items():
        measured = " ".join(
            f"Measured with {arm}: {_describe(slopes[arm].median, depths.get(arm), accuracies[arm].median)}"
            for arm in arms
        )
        judgement = words.format(vanishes=VANISHES, rescues=RESCUES)
        paragraphs.append(f"With {' and with '.join(arms)}, {judgement} {measured}")
    return paragraphs


def _describe(slope: float, depth: int | None, accuracy: float) -> str:
    way = "shrinks" if slope < 0 else "grows"
    text = f"the gradient {way} by {write_number(abs(slope))} decades a layer on the way to the input"
    if depth is not None and depth > 2:
        # The slope is that of hidden layers L down to 2.
        text += f", a factor of {write_number(10 ** (slope * (depth - 2)))} from hidden layer {depth} to hidden layer 2"
    return f"{text}; test accuracy {write_number(accuracy)} (medians over the seeds)."
