"""Judges claims from the records on disk, and says what theory predicts beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vgtemplate.lab.claim import ClaimConfig, Setting
from vgtemplate.lab.judge import PartVerdict, Verdict, judge_quantities, judge_records
from vgtemplate.lab.plan import Plan
from vgtemplate.prediction import Comparison, compare_slopes
from vgtemplate.records import Record, read_record
from vgtemplate.text import plain_number

FAILED, NOT_RUN = "failed", "not run"
"""What stands in the place of a verdict where there is none."""
Read = Callable[[str], Record | None]
"""Key to record, None where there is none."""
_NO_RECORD = "its record is missing or damaged, or the source changed while it ran; run the command again"


@dataclass(frozen=True)
class Result:
    """A claim with its verdict (None where there is none), and what a reader wants to see beside it."""

    claim: ClaimConfig
    verdict: Verdict | None
    keys: Mapping[str, str]
    dataset: str
    seeds: tuple[int, ...]
    setting: Setting
    wall_seconds: float
    slopes: Mapping[str, Comparison]
    """Arm to its gradient slope at initialisation in theory and measured, where it has both."""
    failure: str | None = None
    """Why there is no verdict."""
    was_run: bool = True
    """False where nothing was asked to run, so that nothing has failed."""

    @property
    def outcome(self) -> str:
        """The verdict in a word, or what stands in its place."""
        return self.verdict.verdict if self.verdict else FAILED if self.was_run else NOT_RUN

    @property
    def is_provisional(self) -> bool:
        """Whether there is a verdict, on too few seeds."""
        return self.verdict is not None and self.verdict.provisional

    @property
    def parts(self) -> Sequence[PartVerdict]:
        """The verdict's parts; none without a verdict."""
        return self.verdict.parts if self.verdict else ()

    @property
    def deciding(self) -> PartVerdict | None:
        """The part of which the smallest share of effects clears; None without a verdict."""
        return min(self.parts, key=lambda part: part.cleared / len(part.effects), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data; `effects` and `threshold` are those of the deciding part.

        JSON has no NaN and no infinity: NaN is null, infinities are "Infinity" and "-Infinity".
        """
        deciding = self.deciding
        return {
            "id": self.claim.id,
            "articles": self.claim.articles,
            "kind": self.claim.kind,
            "statement": self.claim.statement,
            "verdict": self.outcome,
            "provisional": self.is_provisional,
            "effects": [plain_number(effect) for effect in deciding.effects] if deciding else [],
            "threshold": deciding.threshold if deciding else None,
            "parts": [
                asdict(part)
                | {
                    "effects": [plain_number(effect) for effect in part.effects],
                    "published": self.claim.published.get(part.title),
                }
                for part in self.parts
            ],
            "literature": self.claim.literature,
            "gradient_slopes": {arm: comparison.to_json() for arm, comparison in self.slopes.items()},
            "dataset": self.dataset,
            "setting": self.setting,
            "seeds": list(self.seeds),
            "records": dict(self.keys),
            "wall_seconds": self.wall_seconds,
            "failure": self.failure,
        }


def judge_claim(plan: Plan, name: str, results: Path, failures: Mapping[str, str]) -> Result:
    """Judge one claim from the records on disk."""
    claim, keys = plan.claims[name], plan.keys[name]
    records = {arm: record for arm, key in keys.items() if (record := read_record(results, key)) is not None}
    missing = (f"{arm}: {failures.get(key, _NO_RECORD)}" for arm, key in keys.items() if arm not in records)
    failure = plan.failures.get(name) or next(missing, None)
    verdict, exact = None, claim.check is not None
    if failure is None and claim.check is not None:
        labels, series = records[claim.check].labels, records[claim.check].series
        verdict = judge_quantities(claim, dict(zip(labels["quantity"], series["quantities"].tolist(), strict=True)))
    elif failure is None:
        verdict = judge_records(claim, records)
    return Result(
        claim=claim,
        verdict=verdict,
        keys=keys,
        dataset="-" if exact else _name_dataset(plan, records),
        setting=plan.setting,
        seeds=() if exact else plan.seeds,
        wall_seconds=sum(record.wall_seconds for record in records.values()),
        slopes={arm: found for arm, record in records.items() if (found := compare_slopes(record)) is not None},
        failure=failure,
    )


def _name_dataset(plan: Plan, records: Mapping[str, Record]) -> str:
    """Return the plan's data set; what makes the data where every arm has data of one's own."""
    own = {str(record.configuration["data"].get("factory") or "") for record in records.values()}
    return plan.dataset if not own or "" in own else ", ".join(sorted(own))


def judge_all(plan: Plan, results: Path, failures: Mapping[str, str]) -> list[Result]:
    """Judge every claim of the plan from the records on disk; `failures` says why a key has none."""
    return [judge_claim(plan, name, results, failures) for name in plan.claims]
