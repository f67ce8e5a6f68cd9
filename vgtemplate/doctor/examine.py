"""From evidence to findings: every rule is asked, and what another finding explains already is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.report import Finding
from vgtemplate.doctor.rules import connectivity, depth, loss_head, precision, registration, scale, step, time

CODES = (
    *("loss-head-mismatch", "unregistered-parameters", "not-in-optimizer", "disconnected-parameters", "stuck-at-zero"),
    *("symmetric-initialisation", "frozen-buffers-move", "stale-gradients", "graph-grows", "precision-overflow"),
    *("unscaled-inputs", "unscaled-targets", "batchnorm-tiny-batch", "exploding-time", "vanishing-time"),
    *(
        "exploding-depth",
        "vanishing-depth",
        "dead-units",
        "oscillation",
        "step-too-large",
        "overflow-forward",
        "nan-forward",
    ),
    *(
        "nan-backward",
        "precision-underflow",
        "saturated-units",
        "saturated-output",
        "signal-collapse",
        "step-too-small",
    ),
)
"""Every code, causes before what they cause."""
_EXPLAINS = {
    "loss-head-mismatch": (
        "vanishing-depth",
        "saturated-output",
        "signal-collapse",
        "step-too-small",
        "step-too-large",
        "oscillation",
    ),
    "symmetric-initialisation": (
        "vanishing-depth",
        "dead-units",
        "signal-collapse",
        "disconnected-parameters",
        "stuck-at-zero",
    ),
    "unscaled-inputs": (
        *("saturated-units", "saturated-output", "exploding-depth", "step-too-large", "dead-units", "oscillation"),
        *("overflow-forward", "nan-forward", "nan-backward", "signal-collapse"),
    ),
    "unscaled-targets": ("step-too-large", "exploding-depth", "step-too-small", "oscillation", "saturated-output"),
    "vanishing-depth": ("signal-collapse", "step-too-small", "saturated-output"),
    "exploding-depth": ("step-too-large", "oscillation", "saturated-output", "overflow-forward", "nan-forward"),
    "saturated-units": ("vanishing-depth", "signal-collapse"),
    "dead-units": ("vanishing-depth", "step-too-small"),
    "step-too-large": (
        "signal-collapse",
        "oscillation",
        "nan-forward",
        "nan-backward",
        "overflow-forward",
        "saturated-units",
    ),
    "oscillation": ("step-too-large",),
    "stale-gradients": ("step-too-large", "oscillation"),
    "precision-overflow": ("step-too-large", "precision-underflow"),
    "nan-forward": ("step-too-large",),
    "nan-backward": ("step-too-large",),
}
"""By finding: what follows from it, and is not said besides."""
_FAMILIES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    *(loss_head.rules, registration.rules, connectivity.rules, scale.rules, precision.rules, step.rules),
    *(time.rules, depth.rules),
)


def examine(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Return the findings, causes first, and the notes; a rule that fails is left out, which is noted."""
    notes, found = list(evidence.notes), []
    for family in _FAMILIES:
        try:
            with np.errstate(all="ignore"):
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
