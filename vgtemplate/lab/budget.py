"""What can be judged in a given time: each claim in the full setting, in the short one, or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vgtemplate.lab.claim import Setting
from vgtemplate.lab.cost import task_seconds
from vgtemplate.lab.plan import Plan

SHORT_SEEDS = 3
"""Seeds of the short setting: enough to see a tendency, too few for a verdict that is not provisional."""


@dataclass(frozen=True)
class Share:
    """What becomes of one claim, and the rough processor seconds that it would take alone; 0: there is a record."""

    setting: Setting | None
    """None: left out."""
    seconds: Mapping[Setting, float]


def share_out(
    full: Plan, short: Plan, missing: Collection[str], budget_seconds: float, num_workers: int
) -> tuple[dict[str, Share], float]:
    """Choose a setting for every claim of two plans; return it by claim, and the estimated seconds of all together.

    First as many claims as fit in the short setting, the cheapest first; then as many in the full one. A claim that
    cannot be planned is chosen all the same: it costs nothing, and its failure is to be shown.

    Args:
        full, short: of the same claims.
        missing: the keys that have no record.
    """
    plans: dict[Setting, Plan] = {"short": short, "full": full}

    def costs(choice: Mapping[str, Setting]) -> Collection[float]:
        """Return the processor seconds of each missing job, counted once however many claims share it."""
        keys = {key: plans[of] for claim, of in choice.items() for key in plans[of].keys[claim].values()}
        return [task_seconds(plan.jobs[key]) for key, plan in keys.items() if key in missing]

    def wall_seconds(choice: Mapping[str, Setting]) -> float:
        """Return the time of all workers together, but no less than the longest job takes."""
        found = costs(choice)
        return max(sum(found) / num_workers, max(found, default=0.0))

    choice: dict[str, Setting] = {}
    for setting in plans:
        for claim in sorted(full.claims, key=lambda claim: sum(costs({claim: setting}))):
            tried = choice | {claim: setting}
            if wall_seconds(tried) <= budget_seconds:
                choice = tried
    shares = {
        claim: Share(choice.get(claim), {name: sum(costs({claim: name})) for name in plans}) for claim in full.claims
    }
    return shares, wall_seconds(choice)
