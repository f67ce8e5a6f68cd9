"""Check of Leaky ReLU, ELU and SELU against the formulas of their papers."""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate

from vgtemplate.lab.checks.grid import evaluate, grid, largest_error, named
from vgtemplate.lab.checks.registry import check
from vgtemplate.nn.activations import Activation, PReLU

SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer et al. 2017, lambda_01; to this precision in the paper's published code."""
SELU_ALPHA = 1.6732632423543772848170429916717
"""Klambauer et al. 2017, alpha_01; to this precision in the paper's published code."""


def _jumps(activation: Activation, step: float = 1e-12) -> tuple[float, float]:
    """Return how much value and derivative differ between 0 and either side of it, at most."""
    values, slopes = evaluate(activation, np.array([-step, 0.0, step]))
    return float(np.ptp(values)), float(np.ptp(slopes))


def _leaky(slope: float) -> Activation:
    """Return a Leaky ReLU of any slope: a PReLU that holds it."""
    layer = PReLU([0], 0).double()
    layer.slope.data.fill_(slope)
    return layer


def _gaussian_moment(activation: Activation, power: int) -> float:
    """Return E[activation(z)^power] for z ~ N(0, 1), by quadrature on each side of 0."""

    def integrand(z: float) -> float:
        value: float = evaluate(activation, np.array([z]))[0][0] ** power
        return value * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    return float(sum(integrate.quad(integrand, *side, epsabs=1e-12)[0] for side in ((-12, 0), (0, 12))))


@check(
    "Maas et al. 2013, Clevert et al. 2016, Klambauer et al. 2017, in NumPy",
    quantities=(
        "leaky_error elu_error elu_derivative_error elu_jump elu_derivative_jump selu_error "
        "selu_scale_error selu_alpha_error selu_fixed_point_error"
    ),
)
def activation_formulas() -> dict[str, float]:
    """Measure Leaky ReLU, ELU and SELU against their formulas, and ELU on both sides of 0."""
    z = grid()
    leaky = [(0.01, named("leaky_relu")), *((k, _leaky(k)) for k in (0.01, 0.02, 0.25, 1 / 3))]
    below = np.minimum(z, 0)
    elu_values, elu_slopes = evaluate(named("elu"), z)
    value_jump, slope_jump = _jumps(named("elu"))
    selu = named("selu")
    selu_values, _ = evaluate(selu, z)
    scale = selu_values[z == 1.0][0]
    return {
        "leaky_error": max(largest_error(evaluate(layer, z)[0], np.maximum(k * z, z)) for k, layer in leaky),
        "elu_error": largest_error(elu_values, np.where(z > 0, z, np.expm1(below))),
        "elu_derivative_error": largest_error(elu_slopes, np.where(z > 0, 1.0, np.exp(below))),
        "elu_jump": value_jump,
        "elu_derivative_jump": slope_jump,
        "selu_error": largest_error(selu_values, SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(below))),
        "selu_scale_error": float(abs(scale - SELU_SCALE)),
        "selu_alpha_error": float(abs(-selu_values[0] / scale - SELU_ALPHA)),
        "selu_fixed_point_error": max(abs(_gaussian_moment(selu, 1)), abs(_gaussian_moment(selu, 2) - 1)),
    }
