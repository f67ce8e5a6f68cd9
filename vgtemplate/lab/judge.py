"""How a claim is judged (docs/register.md): effects and thresholds in, verdicts out; literature is never looked at.

A part is looked at up to three times, each time with more seeds, and ends at the first look that decides. A claim is
the conjunction of its parts, and tests nothing where a premise does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from vgtemplate.lab.claim import ClaimConfig, PartConfig
from vgtemplate.lab.effects import compute_effects
from vgtemplate.lab.threshold import clears, read_threshold
from vgtemplate.records import Record
from vgtemplate.text import describe_seeds, write_count, write_number

CONFIRMED, REFUTED, PARTLY, NOT_TESTED = "confirmed", "refuted", "partly", "not tested"
CLEARS, FAILS = "clears", "does not clear"
OPEN, DEPENDS = "open", "depends on the seed"
"""Of parts and of claims: looks remain; and they do not, but the seeds disagree."""
VERDICTS = (CONFIRMED, REFUTED, PARTLY, DEPENDS, NOT_TESTED, OPEN)
"""Every word for a claim, in the order in which they are counted."""


class Look(NamedTuple):
    """One look at a part: it clears from so many networks on, and does not up to so many."""

    seeds: int
    clears: int
    fails: int


LOOKS = (Look(10, 10, 0), Look(30, 26, 4), Look(100, 70, 30))
"""docs/register.md, amendment 1: where networks clear with probability 1/2, either word is wrong once in 963 times."""
FULL_SEEDS = LOOKS[0].seeds
"""With fewer a verdict is provisional."""


@dataclass(frozen=True)
class PartVerdict:
    """One condition: the effects of the seeds that decided it, and how many of them cleared the threshold."""

    title: str
    threshold: str
    effects: tuple[float, ...]
    cleared: int
    verdict: str
    """clears, does not clear, open, or depends on the seed."""
    role: str = "assertion"
    seeds: tuple[int, ...] = ()
    """In the order of the effects; none of an exact claim."""

    @property
    def count(self) -> str:
        """Of how many networks the effect clears, e.g. "28 of 30 networks"; of a single number: whether it does."""
        if not self.seeds and len(self.effects) == 1:
            return "it is" if self.cleared else "it is not"
        number = len(self.effects)
        return f"{self.cleared} of {write_count(number, 'network') if self.seeds else number}"

    @property
    def needed(self) -> str:
        """The threshold in words that people use: "exactly 4" where nothing else will do."""
        low, high = read_threshold(self.threshold).low, read_threshold(self.threshold).high
        return f"exactly {write_number(low)}" if low == high else self.threshold

    @property
    def interval(self) -> tuple[float, float]:
        """The share of all networks that clear: the 95 % interval of Clopper and Pearson (1934)."""
        from scipy.special import betaincinv  # loaded late: few verdicts need it

        k, n = self.cleared, len(self.effects)
        low = float(betaincinv(k, n - k + 1, 0.025)) if k else 0.0
        high = float(betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0
        return low, high

    @property
    def evidence(self) -> str:
        """The part in a few words: its name, its threshold and its count."""
        where = f", {describe_seeds(self.seeds)}" if self.seeds else ""
        return f"{self.title} {self.threshold}: {self.count}{where}"


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict with its parts; `provisional` where fewer than ten seeds were judged."""

    claim: str
    verdict: str
    provisional: bool
    parts: tuple[PartVerdict, ...]

    @property
    def deciding(self) -> PartVerdict:
        """The part that made the verdict what it is; of several the one of which the smallest share clears."""
        wanted = {OPEN: (OPEN,), DEPENDS: (DEPENDS,)}.get(self.verdict, (CLEARS, FAILS, OPEN, DEPENDS))
        chosen = [part for part in self.parts if part.verdict in wanted]
        if self.verdict == NOT_TESTED:
            chosen = [part for part in self.parts if part.role == "premise"]
        return min(chosen or self.parts, key=lambda part: part.cleared / len(part.effects))

    @property
    def because(self) -> str:
        """Why, where the word alone does not say it; else nothing."""
        part = self.deciding
        if self.verdict == NOT_TESTED:
            return f"a premise does not hold ({part.evidence}), so the statement was not put to the test"
        if self.verdict == PARTLY:
            return "; ".join(f"{part.verdict}: {part.evidence}" for part in self.parts if part.role == "assertion")
        if self.verdict == DEPENDS:
            low, high = part.interval
            return f"{part.evidence}; 95 % interval of the share {low:.2f} to {high:.2f}"
        if self.verdict == OPEN:
            return f"{part.evidence}; more seeds decide: `vgt reproduce {self.claim} --decide`"
        return ""


def judge_effects(
    effects: Sequence[float], threshold: str, title: str = "", role: str = "assertion", seeds: Sequence[int] = ()
) -> PartVerdict:
    """Judge one part by the first look that decides it; the effects beyond that look are left out.

    With fewer than ten effects all or none of them have to clear.

    Raises:
        ValueError: there are no effects.
    """
    if not effects:
        raise ValueError("there is nothing to judge: no effects")
    are_clear = [clears(threshold, effect) for effect in effects]
    looks = [look for look in LOOKS if look.seeds <= len(effects)] or [Look(len(effects), len(effects), 0)]
    number, verdict = len(effects), OPEN
    for look in looks:
        cleared = sum(are_clear[: look.seeds])
        if cleared >= look.clears or cleared <= look.fails:
            number, verdict = look.seeds, CLEARS if cleared >= look.clears else FAILS
            break
    else:
        if looks[-1] is LOOKS[-1]:
            number, verdict = LOOKS[-1].seeds, DEPENDS
    cut = slice(number)
    return PartVerdict(title, threshold, tuple(effects[cut]), sum(are_clear[cut]), verdict, role, tuple(seeds[cut]))


def join_parts(parts: Sequence[PartVerdict]) -> str:
    """Return a claim's verdict from its parts (docs/register.md, amendment 2).

    A claim ends as soon as more seeds could not change its word: where a premise does not hold, and where of the
    assertions one clears and one does not. Of assertions of which none clears and one does not the claim is refuted,
    even if another depends on the seed.
    """
    premises = {part.verdict for part in parts if part.role == "premise"}
    assertions = {part.verdict for part in parts if part.role != "premise"}
    if premises & {FAILS, DEPENDS}:
        return NOT_TESTED
    if OPEN in premises:
        return OPEN
    if assertions >= {CLEARS, FAILS}:
        return PARTLY
    if OPEN in assertions:
        return OPEN
    if FAILS in assertions:
        return REFUTED
    return DEPENDS if DEPENDS in assertions else CONFIRMED


def judge_records(claim: ClaimConfig, records: Mapping[str, Record]) -> Verdict:
    """Judge a seeded claim from its arms' records; one of them may have more seeds than another.

    Raises:
        ValueError: the records are not of the same seeds in the same order, as far as they go.
    """
    parts = tuple(_judge_part(claim.id, part, records) for part in claim.parts)
    provisional = min(len(record.seeds) for record in records.values()) < FULL_SEEDS
    return Verdict(claim.id, join_parts(parts), provisional, parts)


def _judge_part(claim: str, part: PartConfig, records: Mapping[str, Record]) -> PartVerdict:
    used = {arm: records[arm] for arm in part.arms}
    number = min(len(record.seeds) for record in used.values())
    seeds = {record.seeds[:number] for record in used.values()}
    if len(seeds) != 1:
        raise ValueError(f"{claim}: the arms were run with different seeds: {sorted(seeds)}")
    effects = compute_effects(part, {arm: record.of_seeds(record.seeds[:number]) for arm, record in used.items()})
    return judge_effects(effects.tolist(), part.threshold, part.title, part.role, next(iter(seeds)))


def judge_quantities(claim: ClaimConfig, quantities: Mapping[str, Sequence[float]]) -> Verdict:
    """Judge an exact claim from the quantities its check measured; it has no seeds and is never provisional.

    A quantity has one value, or one per block of measurements; blocks that disagree are a part that depends on them.
    """
    parts = []
    for part in claim.parts:
        judged = judge_effects(quantities[part.metric], part.threshold, part.title, part.role)
        parts.append(replace(judged, verdict=DEPENDS) if judged.verdict == OPEN else judged)
    return Verdict(claim.id, join_parts(parts), False, tuple(parts))
