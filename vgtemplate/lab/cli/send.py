"""What a plan and its verdicts leave in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgtemplate.text import describe_seeds, write_spread
from vgtemplate.tracking.outbox import Description, Run

if TYPE_CHECKING:
    from vgtemplate.lab.plan import Plan
    from vgtemplate.lab.result import Result


def planned_runs(plan: Plan) -> list[Run]:
    """Return every run that a plan's claims have: one per arm in each claim's experiment."""
    return [Run(claim, arm, key) for claim, arms in plan.keys.items() for arm, key in arms.items()]


def describe_result(result: Result) -> Description:
    """Return a result as its experiment's description."""
    parts = result.verdict.parts if result.verdict else ()
    lines = [
        f"- {part.title}: {write_spread(part.effects)}, to be {part.threshold}: {part.cleared} of {len(part.effects)}"
        for part in parts
    ]
    where = f"On {result.dataset}, {describe_seeds(result.seeds)}." if result.seeds else "Exact, without seeds."
    claim, verdict = result.claim, result.verdict.verdict if result.verdict else "failed"
    return Description(
        experiment=claim.id,
        headline=f"{verdict}: {claim.statement}",
        text="\n".join([*lines, "", where, "", claim.notes, "", f"Literature: {claim.literature}"]),
        tags={"verdict": verdict, "statement": claim.statement, "literature": claim.literature},
    )
