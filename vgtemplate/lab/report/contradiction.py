"""Which of two claims that contradict each other is right, in the claim's words and in what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vgtemplate.lab.claim import ContradictionConfig, PartConfig
from vgtemplate.lab.judge import CLEARS, CONFIRMED, FAILS, REFUTED, PartVerdict
from vgtemplate.lab.report.claim_figures import can_draw
from vgtemplate.lab.report.metric_panels import panels_of
from vgtemplate.lab.report.panels import Bars, Panel
from vgtemplate.lab.result import Read, Result
from vgtemplate.records import Record
from vgtemplate.text import write_number

_DECIDED = {CLEARS: CONFIRMED, FAILS: REFUTED}
"""What a part that is decided makes of a claim that is this part alone."""


@dataclass(frozen=True)
class Settled:
    """Two claims that contradict each other, and who is right."""

    claims: tuple[str, str]
    paragraphs: list[str]
    panels: Mapping[Panel, Mapping[str, Record]]
    """What decides it: what either claim measures, with the arms that can be drawn."""
    parts: list[PartConfig]
    """Of both claims, what the panels show."""


def settle(results: Sequence[Result], read: Read) -> list[Settled]:
    """Return the claims that contradict each other, where both have a verdict."""
    by_name = {result.claim.id: result for result in results}
    settled = []
    for result in results:
        found = result.claim.contradicts
        other = by_name.get(found.claim) if found is not None else None
        if found is not None and other is not None and result.parts and other.parts:
            records, others = (_read_all(each, read) for each in (result, other))
            paragraphs = _compare(result, other, found, _depths(records))
            parts = [*_chosen(result, found.metric).values(), *_chosen(other, found.other_metric).values()]
            arms = [arm for arm in _chosen(result, found.metric) if arm in _chosen(other, found.other_metric)]
            panels = _panels(found, parts, *({arm: of[arm] for arm in arms if arm in of} for of in (records, others)))
            settled.append(Settled((result.claim.id, other.claim.id), paragraphs, panels, parts))
    return settled


def _read_all(result: Result, read: Read) -> dict[str, Record]:
    return {arm: record for arm, keys in result.keys.items() if (record := read(keys)) is not None}


def _depths(records: Mapping[str, Record]) -> dict[str, int]:
    models = {arm: record.configuration.get("model", {}) for arm, record in records.items()}
    return {arm: int(model["depth"]) for arm, model in models.items() if "depth" in model}


def _panels(
    found: ContradictionConfig, parts: Sequence[PartConfig], here: dict[str, Record], there: dict[str, Record]
) -> dict[Panel, dict[str, Record]]:
    """Return what shows either metric best, and both as one dot per seed beside its threshold."""
    wanted = {panels_of(part)[0]: here for part in parts if part.metric == found.metric}
    wanted |= {Bars(found.metric): here, Bars(found.other_metric): there}
    drawn = {
        panel: {arm: each for arm, each in arms.items() if can_draw(panel, each)} for panel, arms in wanted.items()
    }
    return {panel: arms for panel, arms in drawn.items() if arms}


def _compare(here: Result, there: Result, found: ContradictionConfig, depths: dict[str, int]) -> list[str]:
    """Return a paragraph for each group of arms on which the two claims came out alike."""
    ours, theirs = _parts(here, found.metric), _parts(there, found.other_metric)
    undecided = f"the seeds disagree, so that neither {here.claim.id} nor {there.claim.id} can be said to be right."
    alike: dict[str, list[str]] = {}
    for arm in ours:
        if arm in theirs:
            here_is, there_is = (_DECIDED.get(parts[arm].verdict, "") for parts in (ours, theirs))
            words = found.sentences.get(here_is, {}).get(there_is, undecided)
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
    verdicts = dict(zip((part.title for part in result.claim.parts), result.parts, strict=True))
    return {arm: verdicts[part.title] for arm, part in _chosen(result, metric).items()}


def _chosen(result: Result, metric: str) -> dict[str, PartConfig]:
    """Return, by arm, the parts that judge `metric` of one arm."""
    return {part.arms[0]: part for part in result.claim.parts if part.metric == metric and len(part.arms) == 1}


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
