"""Check of RReLU's slopes: drawn in training, fixed at test."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from vgtemplate.config.seeding import Stream, derive, generator
from vgtemplate.lab.checks.grid import largest_error
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.activations import RReLU
from vgtemplate.nn.noise import set_step
from vgtemplate.records import Array

LOW, HIGH = 1 / 8, 1 / 3
"""The range of slopes that docs/register.md names."""


@check(
    "Xu et al. 2015; 200,000 slopes, scipy.stats.kstest",
    quantities="training_ks_p training_outside repeated_share evaluation_spread evaluation_error positive_error",
)
def rrelu_slope() -> dict[str, float]:
    """Measure RReLU's slopes over negative inputs: ten training steps, then evaluation."""
    rng = generator(7, Stream.CHECKS)
    layer = RReLU([derive(7, Stream.CHECKS, replica) for replica in range(4)], layer=3)
    z = torch.from_numpy(-rng.uniform(0.1, 5, size=(4, 100, 50)))
    positive = -z

    def slopes(step: int) -> Array:
        set_step(layer, step)
        return np.asarray(layer(z) / z).ravel()

    trained = np.stack([slopes(step) for step in range(10)])
    positive_error = largest_error(layer(positive).numpy(), positive.numpy())
    layer.eval()
    evaluated = np.stack([slopes(step) for step in range(10)])
    law = stats.uniform(LOW, HIGH - LOW)
    return {
        "training_ks_p": float(stats.kstest(trained.ravel(), law.cdf, method="asymp").pvalue),
        "training_outside": float(max(LOW - trained.min(), trained.max() - HIGH)),
        "repeated_share": float((trained[1:] == trained[:-1]).mean()),
        "evaluation_spread": float(np.ptp(evaluated)),
        "evaluation_error": largest_error(evaluated, np.full_like(evaluated, (LOW + HIGH) / 2)),
        "positive_error": positive_error,
    }
