"""How many claims have which verdict, of how many that were judged; one way for the terminal, the report and a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from vgtemplate.lab.judge import VERDICTS
from vgtemplate.lab.result import FAILED, NOT_RUN, Result
from vgtemplate.text import write_count

OUTCOMES = (*VERDICTS, FAILED, NOT_RUN)
"""In the order in which they are counted and drawn."""


def count_judged(outcomes: Iterable[str]) -> int:
    """Return how many claims were judged: all that have a verdict, an open one too."""
    return sum(outcome in VERDICTS for outcome in outcomes)


def count_outcomes(outcomes: Sequence[str]) -> str:
    """Say how often each verdict was reached: "of 52 claims that were judged 33 confirmed, 19 refuted; 3 not run"."""
    counts = Counter(outcomes)
    words = [f"{counts[word]} {word}" for word in VERDICTS if counts[word]]
    judged = count_judged(outcomes)
    text = f"of {write_count(judged, 'claim')} that {'was' if judged == 1 else 'were'} judged "
    others = [f"{counts[word]} {word}" for word in (FAILED, NOT_RUN) if counts[word]]
    return "; ".join([text + (", ".join(words) or "none"), *([", ".join(others)] if others else [])])


def why_not_judged(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the claims that have no verdict by the reason, in which CLAIM stands for the claim's name."""
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.verdict is None:
            reason = (result.failure or result.outcome).replace(result.claim.id, "CLAIM")
            reasons.setdefault(reason, []).append(result.claim.id)
    return reasons
