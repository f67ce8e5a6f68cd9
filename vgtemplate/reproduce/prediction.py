"""Hands an arm's configuration to the theory of wide networks; the measured networks and the theory share one text."""

from __future__ import annotations

import math
from itertools import pairwise

from vgtemplate.config.schema import ArmConfig, InitialiserConfig
from vgtemplate.theory.predict import predict


def _weight_variance(initialiser: InitialiserConfig, fan_in: int, fan_out: int) -> float:
    """Return var(w) of an initialiser of the catalogue."""
    kind = initialiser.name.split("_")[0]
    variances = {
        "glorot": 2 / (fan_in + fan_out),
        "lecun": 1 / fan_in,
        "he": 2 / fan_in,
        "pytorch": 1 / (3 * fan_in),
        "normal": (initialiser.std or 0.0) ** 2,
        "orthogonal": 1 / max(fan_in, fan_out),
    }
    return variances[kind] * initialiser.gain**2


def predict_slope(config: ArmConfig) -> float | None:
    """Return the gradient slope that mean-field theory predicts (decades per layer), or None.

    Covered: fully connected, no shortcuts, plain or batch-normalised before the activation, standardised inputs
    (whose mean square is 1 by construction), biases 0, weights as they were drawn.
    """
    model = config.model
    covered = (
        model.kind == "mlp"
        and not model.residual
        and not model.dropout
        and config.pretraining.kind == "none"
        and (model.norm == "none" or (model.norm == "batch" and model.norm_position == "before"))
        and config.data.scaling == "standardise"
        and model.bias in ("zeros", "none")
    )
    if not covered:
        return None
    widths = model.widths()
    # The first layer's fan_in is the image's and cancels in q_first except for Glorot's and N(0, std^2)'s variance,
    # where it only sets where the profile starts; the hidden layers forget it within a few steps.
    pairs = [(widths[0], widths[0]), *pairwise(widths)]
    variances = [_weight_variance(model.initialiser, fan_in, fan_out) for fan_in, fan_out in pairs]
    forward = [fan_in * variance for (fan_in, _), variance in zip(pairs, variances, strict=True)]
    backward = [fan_out * variance for (_, fan_out), variance in zip(pairs, variances, strict=True)]
    slope = predict(
        model.activation,
        model.depth,
        q_first=forward[0],
        sigma_w_sq=forward,
        sigma_w_sq_backward=backward,
        norm="batch" if model.norm == "batch" else "none",
    ).gradient_slope
    return slope if math.isfinite(slope) else None
