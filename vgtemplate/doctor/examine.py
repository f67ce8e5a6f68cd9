"""From evidence to findings: every rule is asked, and what another finding explains already is left out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.report import Finding
from vgtemplate.doctor.rules import (
    connectivity,
    depth,
    direction,
    loss_head,
    precision,
    registration,
    scale,
    step,
    time,
)

CODES = (
    *("loss-head-mismatch", "wrong-direction", "unregistered-parameters", "not-in-optimizer"),
    *("symmetric-initialisation", "disconnected-parameters", "stuck-at-zero", "frozen-buffers-move"),
    *("stale-gradients", "graph-grows"),
    *("precision-overflow", "unscaled-inputs", "unscaled-targets", "batchnorm-tiny-batch"),
    *("exploding-time", "vanishing-time", "exploding-depth", "vanishing-depth", "dead-units"),
    *("oscillation", "step-too-large", "overflow-forward", "nan-forward", "nan-backward", "precision-underflow"),
    *("saturated-units", "saturated-output", "signal-collapse", "step-too-small"),
)
"""Every code, causes before what they cause."""
_NOT_FINITE = ("overflow-forward", "nan-forward", "nan-backward")
_RESTLESS = ("step-too-large", "oscillation")
_FLAT = ("saturated-output", "signal-collapse")
_EXPLAINS = {
    "loss-head-mismatch": ("vanishing-depth", "step-too-small", *_RESTLESS, *_FLAT),
    "wrong-direction": ("dead-units", "saturated-units", *_RESTLESS, *_NOT_FINITE, *_FLAT),
    "symmetric-initialisation": (
        *("disconnected-parameters", "stuck-at-zero", "vanishing-depth", "dead-units", "signal-collapse"),
    ),
    "stale-gradients": (*_RESTLESS, *_NOT_FINITE),
    "precision-overflow": ("step-too-large", "precision-underflow"),
    "unscaled-inputs": ("exploding-depth", "dead-units", "saturated-units", *_RESTLESS, *_NOT_FINITE, *_FLAT),
    "unscaled-targets": ("exploding-depth", "step-too-small", "saturated-output", *_RESTLESS),
    "exploding-depth": ("saturated-output", "overflow-forward", "nan-forward", *_RESTLESS),
    "vanishing-depth": ("step-too-small", *_FLAT),
    "dead-units": ("step-too-small",),
    "oscillation": ("step-too-large",),
    "step-too-large": ("saturated-units", "signal-collapse", *_NOT_FINITE),
    "saturated-units": ("signal-collapse",),
}
"""By finding: what follows from it, stands behind it, and is not said besides."""
_FAMILIES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    *(loss_head.rules, direction.rules, registration.rules, connectivity.rules, scale.rules),
    *(precision.rules, step.rules, time.rules, depth.rules),
)


def explains(code: str, other: str) -> bool:
    """Say whether a finding explains another, which is then not said besides."""
    return other in _EXPLAINS.get(code, ())


def examine(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Return the findings, causes first, and the notes; a rule that fails is left out, which is noted."""
    notes, found = list(evidence.notes), []
    for family in _FAMILIES:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                # Where nothing was measured there is no median, which is no news to the user.
                warnings.simplefilter("ignore", RuntimeWarning)
                found += list(family(evidence)) if evidence.steps else []
        except Exception as error:
            notes.append(f"not judged ({family.__module__.rpartition('.')[2]}: {type(error).__name__}: {error})")
    found.sort(key=lambda finding: CODES.index(finding.code))
    told: set[str] = set()
    kept = []
    for finding in found:
        if finding.code not in told:
            kept.append(finding)
            told |= set(_EXPLAINS.get(finding.code, ()))
    return kept, notes
