"""Judges claims from the records on disk, and says what theory predicts beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vgtemplate.jobs.job import Job, read_job
from vgtemplate.lab.claim import ClaimConfig, Setting
from vgtemplate.lab.environments import Facts, describe_differences, facts_of
from vgtemplate.lab.joined import read_joined
from vgtemplate.lab.judge import LOOKS, OPEN, PartVerdict, Verdict, judge_quantities, judge_records
from vgtemplate.lab.picks import Pick
from vgtemplate.lab.plan import Plan
from vgtemplate.prediction import Comparison, compare_slopes
from vgtemplate.records import Record
from vgtemplate.text import plain_number

FAILED, NOT_RUN = "failed", "not run"
"""What stands in the place of a verdict where there is none."""
Read = Callable[[tuple[str, ...]], Record | None]
"""The keys of an arm's records to one record of all their seeds, None where one is missing."""
_NO_RECORD = "its record is missing or damaged, or the source changed while it ran; run the command again"


@dataclass(frozen=True)
class Result:
    """A claim with its verdict (None where there is none), and what a reader wants to see beside it."""

    claim: ClaimConfig
    verdict: Verdict | None
    keys: Mapping[str, tuple[str, ...]]
    """Arm to the keys of its records, one per set of seeds (`joined.read_joined` reads them as one)."""
    dataset: str
    seeds: tuple[int, ...]
    """Those of the arm that was looked at with the most."""
    setting: Setting
    wall_seconds: float
    slopes: Mapping[str, Comparison]
    """Arm to its gradient slope at initialisation in theory and measured, where it has both."""
    failure: str | None = None
    """Why there is no verdict."""
    was_run: bool = True
    """False where nothing was asked to run, or a library is missing that nobody has to have: nothing has failed."""
    picks: Mapping[str, Pick] = field(default_factory=dict)
    """Arm to what its settings were picked by; none of arms whose settings the claim says itself."""
    environments: Mapping[str, Facts] = field(default_factory=dict)
    """Arm to where its records were made."""

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
        """The part that made the verdict what it is; None without a verdict."""
        return self.verdict.deciding if self.verdict else None

    @property
    def because(self) -> str:
        """Why, where the word alone does not say it; else nothing."""
        return self.verdict.because if self.verdict else self.failure or ""

    @property
    def mixed(self) -> str:
        """How the environments differ in which the claim's records were made; empty if they do not."""
        return describe_differences(self.environments.values())

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
            "because": self.because,
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
            "records": {arm: list(keys) for arm, keys in self.keys.items()},
            "environments": self.mixed,
            "wall_seconds": self.wall_seconds,
            "failure": self.failure,
        }


def judge_claim(plan: Plan, name: str, results: Path, failures: Mapping[str, str]) -> Result:
    """Judge one claim from the records on disk, with those of later looks where it is open and they are there."""
    claim, first = plan.claims[name], plan.keys[name]
    keys: dict[str, tuple[str, ...]] = {arm: (key,) for arm, key in first.items()}
    records = {arm: record for arm, key in first.items() if (record := read_job(results, key)) is not None}
    missing = (f"{arm}: {failures.get(key, _NO_RECORD)}" for arm, key in first.items() if arm not in records)
    failure = plan.failures.get(name) or plan.skipped.get(name) or next(missing, None)
    verdict, exact = None, claim.check is not None
    if failure is None and claim.check is not None:
        labels, series = records[claim.check].labels, records[claim.check].series
        verdict = judge_quantities(claim, dict(zip(labels["quantity"], series["quantities"].tolist(), strict=True)))
    elif failure is None:
        verdict = judge_records(claim, records)
        while wanted := next_look(plan, verdict):
            wider = {arm: keys[arm] + tuple(job.key for job in jobs) for arm, jobs in wanted.items()}
            joined = {arm: record for arm in wider if (record := read_joined(results, wider[arm])) is not None}
            if joined.keys() != wider.keys():
                break
            keys, records = keys | wider, records | joined
            verdict = judge_records(claim, records)
    return Result(
        claim=claim,
        verdict=verdict,
        keys=keys,
        dataset="-" if exact else _name_dataset(plan, records),
        setting=plan.setting,
        seeds=() if exact else max((record.seeds for record in records.values()), key=len, default=plan.seeds),
        wall_seconds=sum(record.wall_seconds for record in records.values()),
        slopes={arm: found for arm, record in records.items() if (found := compare_slopes(record)) is not None},
        failure=failure,
        was_run=name not in plan.skipped,
        picks=plan.picks.get(name, {}),
        environments={arm: facts_of(record.environment) for arm, record in records.items()},
    )


def next_look(plan: Plan, verdict: Verdict) -> dict[str, Sequence[Job]]:
    """Return what an open claim's next look asks for: arm to the jobs whose seeds it adds; nothing if it is decided.

    Only the arms of the parts that are open are looked at again.
    """
    later = plan.later.get(verdict.claim, {})
    if verdict.verdict != OPEN or not any(later.values()):
        return {}
    # Parts that are open were all looked at with the same seeds: each look takes in every one of them.
    pairs = zip(plan.claims[verdict.claim].parts, verdict.parts, strict=True)
    arms = dict.fromkeys(arm for config, part in pairs if part.verdict == OPEN for arm in config.arms)
    index = [look.seeds for look in LOOKS].index(len(verdict.deciding.effects))
    return {arm: later[arm][index] for arm in arms}


def mixed_environments(results: Iterable[Result]) -> str:
    """Say how the environments of a whole run differ, each arm counted once however many claims share it."""
    arms = {result.keys[arm]: facts for result in results for arm, facts in result.environments.items()}
    return describe_differences(arms.values())


def _name_dataset(plan: Plan, records: Mapping[str, Record]) -> str:
    """Return the plan's data set; what makes the data where every arm has data of one's own."""
    own = {str(record.configuration["data"].get("factory") or "") for record in records.values()}
    return plan.dataset if not own or "" in own else ", ".join(sorted(own))


def judge_all(plan: Plan, results: Path, failures: Mapping[str, str]) -> list[Result]:
    """Judge every claim of the plan from the records on disk; `failures` says why a key has none."""
    return [judge_claim(plan, name, results, failures) for name in plan.claims]


def unless_not_run(result: Result, plan: Plan) -> Result:
    """Return a result; one that could not be judged has not been run, rather than failed."""
    if result.verdict is not None or not result.was_run:
        return result
    name = result.claim.id
    return replace(result, was_run=False, failure=plan.failures.get(name) or f"run `vgt reproduce {name}`")
