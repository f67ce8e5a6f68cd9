"""Hands finished runs to MLflow, and says once if that fails; the records are complete either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgtemplate.records import Record
    from vgtemplate.reproduce.plan import Plan
    from vgtemplate.reproduce.result import Result
    from vgtemplate.tracking.outbox import Run, Verdict


def _draw(record: Record, arm: str) -> dict[str, bytes]:
    from vgtemplate.report.figures import draw_pictures

    return draw_pictures(record, arm)


class Sender:
    """Sends runs and verdicts, or nothing at all where tracking is off.

    Args:
        results: the folder of the records.
        enabled: whether to track.
        say: prints one line of plain text; called at most once a reason.
    """

    def __init__(self, results: Path, enabled: bool, say: Callable[[str], None]) -> None:
        self._results = results
        self._say = say
        self._said: set[str] = set()
        self._tracker = None
        if enabled:
            from vgtemplate.tracking.tracker import Tracker

            self._tracker = Tracker(results, _draw)

    def pending(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs that the store does not have yet; a matter of looking up files."""
        from vgtemplate.tracking.outbox import pending

        return pending(self._results, runs) if self._tracker is not None else []

    def _report(self, reason: str | None) -> None:
        if reason is not None and reason not in self._said:
            self._said.add(reason)
            self._say(f"{reason}; the records are complete, and `vgt track sync` sends them later")

    def send(self, run: Run) -> None:
        """Send one run, or leave it for `vgt track sync`."""
        if self._tracker is not None:
            self._report(self._tracker.send(run))

    def send_verdict(self, verdict: Verdict) -> None:
        """Write one verdict to its experiment, or leave it for `vgt track sync`."""
        if self._tracker is not None:
            self._report(self._tracker.send_verdict(verdict))


def planned_runs(plan: Plan) -> list[Run]:
    """Return every run that a plan's claims have: one an arm in each claim's experiment."""
    from vgtemplate.tracking.outbox import Run

    return [Run(claim, arm, key) for claim, arms in plan.keys.items() for arm, key in arms.items()]


def describe_verdict(result: Result) -> Verdict:
    """Return a result as its experiment's description."""
    from vgtemplate.cli.tables import spread
    from vgtemplate.tracking.outbox import Verdict

    parts = result.verdict.parts if result.verdict else ()
    lines = [
        f"- {part.title}: {spread(part.effects)}, to be {part.threshold}: {part.cleared} of {len(part.effects)}"
        for part in parts
    ]
    where = f"On {result.dataset}, {len(result.seeds)} seeds." if result.seeds else "Exact, without seeds."
    return Verdict(
        experiment=result.claim.id,
        statement=result.claim.statement,
        verdict=result.verdict.verdict if result.verdict else "failed",
        literature=result.claim.literature,
        details="\n".join([*lines, "", where, "", result.claim.notes]),
    )
