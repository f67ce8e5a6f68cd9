"""Judges cures: short copies of a training, as it is and cured, one pair per seed; all five pairs have to be clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vgtemplate.doctor.examine import explains
from vgtemplate.doctor.prove.copies import Copy, Trial
from vgtemplate.doctor.prove.cure import Cure, offers
from vgtemplate.doctor.report import Finding, Proof, Report
from vgtemplate.doctor.rules.learning import smooth

SEEDS = 5
_SLACK, _SIGMAS = 0.02, 2.0
"""A loss is worse that is higher by more than this share, and so many standard errors of its batches besides."""
_LOSS_KINDS = ("loss-head", "standardise-targets")
"""Cures that change what the loss is: copies as they are note what it would be."""

Train = Callable[[Sequence[Copy]], list[Trial]]


def prove(report: Report, train: Train) -> None:
    """Try the cures of every finding, and write to the report what came of them.

    Args:
        train: trains copies, as many steps as were watched, and returns what became of each.
    """
    offered = [offers(finding, report) for finding in report.findings]
    cures = [each for each in offered if not isinstance(each, str)]
    measures = tuple(cure for each in cures for cure in each if cure.kind in _LOSS_KINDS)
    as_is = train([Copy(seed, None, measures) for seed in range(SEEDS)]) if cures else []
    report.findings = [
        replace(finding, proof=_prove_one(finding, offer, as_is, train))
        for finding, offer in zip(report.findings, offered, strict=True)
    ]


def _prove_one(finding: Finding, offer: tuple[Cure, ...] | str, as_is: list[Trial], train: Train) -> Proof:
    if isinstance(offer, str):
        return Proof("", 0, 0, offer)
    shown = sum(finding.code in trial.codes for trial in as_is)
    if not shown:
        failures = [trial.failure for trial in as_is if trial.failure]
        why = failures[0] if failures else f"the finding shows in none of {len(as_is)} copies as they are"
        return Proof("", 0, len(as_is), why)
    best = Proof("", 0, 0, "")
    for cure in offer:
        cured = train([Copy(seed, cure) for seed in range(len(as_is))])
        failures = [trial.failure for trial in cured if trial.failure]
        if len(failures) == len(cured):
            best = best if best.applied or best.reason else Proof("", 0, 0, failures[0])
            continue
        number = sum(_is_cured(finding.code, cure, *pair) for pair in zip(as_is, cured, strict=True))
        if number > best.cured or not best.applied:
            losses = tuple(_median([_last(cure, trial) for trial in trials]) for trials in (as_is, cured))
            best = Proof(cure.text, number, len(cured), "", *losses)
        if best.is_proven:
            break
    return best


def _is_cured(code: str, cure: Cure, as_is: Trial, cured: Trial) -> bool:
    """Say whether a symptom is gone: its code neither found nor explained by a new one, the loss not worse."""
    if cured.failure or code not in as_is.codes or code in cured.codes:
        return False
    if any(explains(new, code) for new in set(cured.codes) - set(as_is.codes)):
        return False
    before, after = _last(cure, as_is), _last(cure, cured)
    scatter = _SIGMAS * float(np.hypot(_scatter(cure, as_is), _scatter(cure, cured)))
    return bool(np.isfinite(after)) and (not np.isfinite(before) or after <= before + _SLACK * abs(before) + scatter)


def _scatter(cure: Cure, trial: Trial) -> float:
    """Return the standard error of a copy's loss over its last quarter."""
    losses = np.array(trial.noted.get(cure.kind) or trial.losses, dtype=float)
    rest = losses[-max(3, len(losses) // 4) :]
    return float(rest.std() / np.sqrt(len(rest))) if len(rest) and np.isfinite(rest).all() else 0.0


def _last(cure: Cure, trial: Trial) -> float:
    """Return a copy's loss over its last quarter, NaN where it ends in what is not finite."""
    losses = np.array(trial.noted.get(cure.kind) or trial.losses, dtype=float)
    if not len(losses) or not np.isfinite(losses[-1]):
        return float("nan")
    last = smooth(losses)[1]
    return last if np.isfinite(last) else float(losses[-1])


def _median(values: list[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if len(finite) > len(values) / 2 else None
