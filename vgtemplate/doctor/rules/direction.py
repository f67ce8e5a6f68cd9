"""Whether the steps go down: a sign that is wrong makes a network learn to fail, by steps of the usual size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vgtemplate.doctor.evidence import Evidence
from vgtemplate.doctor.report import Finding
from vgtemplate.doctor.rules.learning import beside_constant
from vgtemplate.doctor.rules.motion import climbs

_FEW, _WORSE, _UPHILL = 6, 1.5, 0.3


def rules(evidence: Evidence) -> Iterator[Finding]:
    """Compare what the loss function says with where the steps go."""
    calls = [step.losses[0] for step in evidence.steps if len(step.losses) == 1]
    # In a game one player climbs what the other descends.
    if not evidence.is_moved or evidence.num_optimisers > 1 or not len(calls) == len(evidence.steps) >= _FEW:
        return
    values = np.array([call.values.get("value", np.nan) for call in calls])
    losses = np.array([step.loss for step in evidence.steps])
    first, last, floor = beside_constant(evidence)
    if not (np.isfinite([*values, *losses]).all() and last > _WORSE * np.fmax(first, floor) > 0):
        return
    uphill = climbs(evidence)
    is_negated = bool((values * losses < 0).all())
    if not (is_negated or uphill > _UPHILL):
        return
    how = "what is trained on is its negative" if is_negated else f"the steps go up the gradient (cosine {uphill:.2f})"
    yield Finding(
        "wrong-direction",
        (f"{calls[0].kind} at {calls[0].place}" if is_negated else "the optimiser",),
        evidence.steps[0].number,
        f"{calls[0].kind} grows from {first:.3g} to {last:.3g}, and {how}",
        "the network learns to make the loss as large as it can",
        "the loss without the minus sign" if is_negated else "an optimiser without maximize=True",
    )
