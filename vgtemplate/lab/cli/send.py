"""What a plan and its verdicts leave in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vgtemplate.jobs.job import Job
from vgtemplate.lab.cli.tables import describe_part
from vgtemplate.lab.plan import Plan
from vgtemplate.lab.result import Result
from vgtemplate.text import describe_seeds
from vgtemplate.tracking.outbox import Description, Run
from vgtemplate.tracking.words import differing_parameters


def planned_runs(plan: Plan) -> list[Run]:
    """Return every run that a plan's first looks have: one per arm in each claim's experiment."""
    return [Run(claim, arm, key) for claim, arms in plan.keys.items() for arm, key in arms.items()]


def later_runs(looks: Mapping[str, Mapping[str, Sequence[Job]]]) -> list[Run]:
    """Return the runs of further looks, claim to arm to jobs; they are named by arm and seeds."""
    return [
        Run(claim, arm, job.key, label=job.name)
        for claim, arms in looks.items()
        for arm, jobs in arms.items()
        for job in jobs
    ]


def describe_result(result: Result, results: Path) -> Description:
    """Return a result as its experiment's description; `results` is the folder of the records."""
    why = [result.because, ""] if result.verdict and result.because else []
    lines = [f"- {part.role}, {part.verdict}: {describe_part(part)}" for part in result.parts]
    where = f"On {result.dataset}, {describe_seeds(result.seeds)}." if result.seeds else "Exact, without seeds."
    claim, verdict = result.claim, result.outcome
    return Description(
        experiment=claim.id,
        headline=f"{verdict}: {claim.statement}",
        text="\n".join(
            [
                *why,
                *lines,
                "",
                where,
                "",
                claim.notes,
                "",
                f"Literature: {claim.literature}",
            ]
        ),
        tags={"verdict": verdict, "statement": claim.statement, "literature": claim.literature},
        parameters=differing_parameters(results, claim.id),
    )
