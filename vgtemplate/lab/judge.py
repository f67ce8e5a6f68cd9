"""How a claim is judged (docs/register.md): effects and thresholds in, verdicts out; literature is never looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.effects import compute_effects
from vgtemplate.lab.threshold import clears
from vgtemplate.records import Record

CONFIRMED, REFUTED, INCONCLUSIVE, MIXED = "confirmed", "refuted", "inconclusive", "mixed"
FULL_SEEDS = 10
"""With fewer a verdict is provisional: ten of ten is the one-sided 99.9 % bound on the median (sign test)."""


@dataclass(frozen=True)
class PartVerdict:
    """One condition: its effects in the order of the seeds, and how many of them cleared the threshold."""

    title: str
    threshold: str
    effects: tuple[float, ...]
    cleared: int
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict with its parts; `provisional` where fewer than ten seeds were judged."""

    claim: str
    verdict: str
    provisional: bool
    parts: tuple[PartVerdict, ...]


def judge_effects(effects: Sequence[float], threshold: str, title: str = "") -> PartVerdict:
    """Judge one part: confirmed if every effect clears, refuted if none does, else inconclusive.

    Raises:
        ValueError: there are no effects.
    """
    if not effects:
        raise ValueError("there is nothing to judge: no effects")
    cleared = sum(clears(threshold, effect) for effect in effects)
    verdict = CONFIRMED if cleared == len(effects) else REFUTED if cleared == 0 else INCONCLUSIVE
    return PartVerdict(title, threshold, tuple(effects), cleared, verdict)


def join_parts(parts: Sequence[PartVerdict]) -> str:
    """Return a claim's verdict: its only part's; of several, what all of them are if all agree, else mixed.

    All inconclusive is mixed too: docs/register.md lets parts agree on confirmed and on refuted only.
    """
    verdicts = {part.verdict for part in parts}
    if len(parts) == 1 or verdicts in ({CONFIRMED}, {REFUTED}):
        return parts[0].verdict
    return MIXED


def judge_records(claim: ClaimConfig, records: Mapping[str, Record]) -> Verdict:
    """Judge a seeded claim from its arms' records.

    Raises:
        ValueError: the records are not of the same seeds in the same order.
    """
    seeds = {record.seeds for record in records.values()}
    if len(seeds) != 1:
        raise ValueError(f"{claim.id}: the arms were run with different seeds: {sorted(seeds)}")
    parts = tuple(
        judge_effects([float(effect) for effect in compute_effects(part, records)], part.threshold, part.title)
        for part in claim.parts
    )
    return Verdict(claim.id, join_parts(parts), len(next(iter(seeds))) < FULL_SEEDS, parts)


def judge_quantities(claim: ClaimConfig, quantities: Mapping[str, Sequence[float]]) -> Verdict:
    """Judge an exact claim from the quantities its check measured; it has no seeds and is never provisional.

    A quantity has one value, or one per block of measurements; blocks are judged as seeds are.
    """
    parts = tuple(judge_effects(quantities[part.metric], part.threshold, part.title) for part in claim.parts)
    return Verdict(claim.id, join_parts(parts), False, parts)
