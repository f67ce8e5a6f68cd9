"""Which of two claims that contradict each other is right, in the claim's words and in what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from vgtemplate.lab.claim import ContradictionConfig
from vgtemplate.lab.judge import PartVerdict
from vgtemplate.lab.result import Read, Result
from vgtemplate.text import write_number


def settle(results: Sequence[Result], read: Read) -> dict[str, list[str]]:
    """Return, by claim, paragraphs about the claim that it contradicts; none where one of the two has no verdict."""
    by_name = {result.claim.id: result for result in results}
    settled: dict[str, list[str]] = {}
    for result in results:
        found = result.claim.contradicts
        if found is not None and found.claim in by_name:
            records = [(arm, read(key)) for arm, key in result.keys.items()]
            models = {arm: record.configuration.get("model", {}) for arm, record in records if record is not None}
            depths = {arm: int(model["depth"]) for arm, model in models.items() if "depth" in model}
            paragraphs = _compare(result, by_name[found.claim], found, depths)
            for name in (result.claim.id, found.claim):
                settled.setdefault(name, []).extend(paragraphs)
    return settled


def _compare(here: Result, there: Result, found: ContradictionConfig, depths: dict[str, int]) -> list[str]:
    """Return a paragraph for each group of arms on which the two claims came out alike."""
    ours, theirs = _parts(here, found.metric), _parts(there, found.other_metric)
    undecided = f"the seeds disagree, so that neither {here.claim.id} nor {there.claim.id} can be said to be right."
    alike: dict[str, list[str]] = {}
    for arm in ours:
        if arm in theirs:
            words = found.sentences.get(ours[arm].verdict, {}).get(theirs[arm].verdict, undecided)
            alike.setdefault(words, []).append(arm)
    paragraphs = []
    for words, arms in alike.items():
        measured = " ".join(
            f"Measured with {arm}: {_describe(found.metric, ours[arm], depths.get(arm))}; "
            f"{_describe(found.other_metric, theirs[arm], depths.get(arm))} (medians over the seeds)."
            for arm in arms
        )
        paragraphs.append(f"With {' and with '.join(arms)}, {words} {measured}")
    return paragraphs


def _parts(result: Result, metric: str) -> dict[str, PartVerdict]:
    """Return, by arm, the verdict on the parts that judge `metric` of one arm."""
    pairs = zip(result.claim.parts, result.parts, strict=False)
    return {part.arms[0]: verdict for part, verdict in pairs if part.metric == metric and len(part.arms) == 1}


def _describe(metric: str, part: PartVerdict, depth: int | None) -> str:
    """Write the median of a metric; a gradient slope with what it adds up to over the hidden layers."""
    median = statistics.median(part.effects)
    if metric != "gradient_slope":
        return f"{metric.replace('_', ' ')} {write_number(median)}"
    way = "shrinks" if median < 0 else "grows"
    text = f"the gradient {way} by {write_number(abs(median))} decades per layer on the way to the input"
    if depth is not None and depth > 2:
        # The slope is that of hidden layers L down to 2.
        factor = 10 ** (median * (depth - 2))
        text += f", a factor of {write_number(factor)} from hidden layer {depth} to hidden layer 2"
    return text
