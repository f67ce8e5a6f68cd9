"""Judges each claim of a reproduction as soon as the last of its arms is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from vgtemplate.lab.plan import Plan
from vgtemplate.lab.result import Result, judge_claim


class Judging:
    """The claims of some plans, and what each still waits for.

    Args:
        plans: no claim is in two of them.
        missing: the keys of what is to be run.
        say: given each verdict at once.
    """

    def __init__(
        self, plans: Sequence[Plan], results: Path, missing: Collection[str], say: Callable[[Result], None]
    ) -> None:
        self._results, self._say = results, say
        self._plans = {claim: plan for plan in plans for claim in plan.claims}
        self._waits = {claim: {*plan.keys[claim].values()} & {*missing} for claim, plan in self._plans.items()}
        self._failures: dict[str, str] = {}
        self._judged: dict[str, Result] = {}

    def judge(self) -> None:
        """Judge the claims that wait for nothing and were not judged before."""
        for claim, waits in self._waits.items():
            if not waits and claim not in self._judged:
                self._judged[claim] = judge_claim(self._plans[claim], claim, self._results, self._failures)
                self._say(self._judged[claim])

    def end(self, key: str, failure: str | None) -> None:
        """Note that a job has ended, with its failure or None, and judge what waited for it alone."""
        if failure is not None:
            self._failures[key] = failure
        for waits in self._waits.values():
            waits.discard(key)
        self.judge()

    def results(self) -> list[Result]:
        """Return every result so far, in the order of the plans and their claims."""
        return [self._judged[claim] for claim in self._plans if claim in self._judged]
