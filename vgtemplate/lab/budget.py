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


class _Costs:
    """The costs of claims, each arm counted once however many claims share it."""

    def __init__(self, plans: Mapping[Setting, Plan], missing: Collection[str], num_workers: int) -> None:
        self._plans, self._missing, self._num_workers = plans, missing, num_workers

    def _of_jobs(self, choice: Mapping[str, Setting]) -> dict[str, float]:
        return {
            key: task_seconds(self._plans[setting].jobs[key])
            for claim, setting in choice.items()
            for key in self._plans[setting].keys[claim].values()
            if key in self._missing
        }

    def processor_seconds(self, choice: Mapping[str, Setting]) -> float:
        return sum(self._of_jobs(choice).values())

    def wall_seconds(self, choice: Mapping[str, Setting]) -> float:
        """Return the time of all workers together, but no less than the longest job takes."""
        costs = self._of_jobs(choice)
        return max(sum(costs.values()) / self._num_workers, max(costs.values(), default=0.0))


def share_out(
    full: Plan, short: Plan, missing: Collection[str], budget_seconds: float, num_workers: int
) -> tuple[dict[str, Share], float]:
    """Choose a setting for every claim of two plans; return it by claim, and the estimated seconds of all together.

    First as many claims as fit in the short setting, the cheapest first; then as many in the full one. A claim that
    cannot be planned is chosen all the same: it costs nothing, and its failure is to be shown.

    Args:
        full: of the claims, in the full setting.
        short: of the same claims, in the short one.
        missing: the keys that have no record.
        budget_seconds: what may be used.
        num_workers: how many jobs run at once.
    """
    plans: dict[Setting, Plan] = {"short": short, "full": full}
    costs = _Costs(plans, missing, num_workers)
    choice: dict[str, Setting] = {}
    for setting in plans:
        for claim in sorted(full.claims, key=lambda claim: costs.processor_seconds({claim: setting})):
            tried = choice | {claim: setting}
            if costs.wall_seconds(tried) <= budget_seconds:
                choice = tried
    shares = {
        claim: Share(choice.get(claim), {name: costs.processor_seconds({claim: name}) for name in plans})
        for claim in full.claims
    }
    return shares, costs.wall_seconds(choice)
