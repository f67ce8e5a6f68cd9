"""Checks of the activations: derivatives, formulas of their papers, and slopes that are learned or drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from scipy import integrate, stats
from torch import Tensor

from vgtemplate.config.seeding import Stream, derive, generator
from vgtemplate.lab.checks.networks import build, layers_of, losses_of, sgd_step
from vgtemplate.lab.checks.registry import check, largest_error
from vgtemplate.nn.activations import Activation, PReLU, RReLU, build_activation
from vgtemplate.nn.noise import set_step
from vgtemplate.records import Array


def evaluate(activation: Activation, z: Array) -> tuple[Array, Array]:
    """Return the activation's values and, by autograd, its derivatives at the points `z`: (N,) to two (N,)."""
    points = torch.from_numpy(z)[None].requires_grad_()
    values = activation.double()(points)
    (derivatives,) = torch.autograd.grad(values.sum(), points)
    return values[0].detach().numpy(), derivatives[0].numpy()


def named(name: str) -> Activation:
    """Return an activation of the catalogue for one replica."""
    return build_activation(name, [0], 0)


def grid() -> Array:
    """Return -40 to 40 in steps of 1/1000, symmetric and with an exact 0."""
    return np.arange(-40_000, 40_001) / 1000


def _largest_rise(values: Array) -> float:
    """Return how much `values` on a symmetric grid rise, at most, from one point to the next farther from 0."""
    middle = len(values) // 2
    outward = np.stack([values[middle:], values[middle::-1]])
    return float(np.diff(outward, axis=1).max())


# The closed forms of the derivatives that do not cancel: sigmoid' = sech^2(z/2) / 4, tanh' = sech^2(z).
_BELL: Mapping[str, Callable[[Array], Array]] = {
    "sigmoid": lambda z: 0.25 / np.cosh(z / 2) ** 2,
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
}


@check(
    "autograd on a grid of [-40, 40] against sech^2",
    quantities=(
        "sigmoid_excess sigmoid_error_at_zero sigmoid_farthest_maximum sigmoid_smallest sigmoid_largest_rise "
        "sigmoid_tail sigmoid_closed_form_error tanh_excess tanh_error_at_zero tanh_farthest_maximum tanh_smallest "
        "tanh_largest_rise tanh_tail tanh_closed_form_error relu_error"
    ),
)
def derivative_bounds() -> dict[str, float]:
    """Measure bounds, maximum, tails and shape of sigmoid', tanh' and ReLU' on a float64 grid."""
    z = grid()
    quantities: dict[str, float] = {}
    # Beyond these, 1 - sigmoid and 1 - tanh^2 fall below float64's resolution and the derivative rounds to 0.
    for name, bound, resolved in (("sigmoid", 0.25, 30.0), ("tanh", 1.0, 15.0)):
        _, slope = evaluate(named(name), z)
        quantities |= {
            f"{name}_excess": float(slope.max() - bound),
            f"{name}_error_at_zero": float(abs(slope[z == 0.0][0] - bound)),
            f"{name}_farthest_maximum": float(np.abs(z[slope == slope.max()]).max()),
            f"{name}_smallest": float(slope[np.abs(z) <= resolved].min()),
            f"{name}_largest_rise": _largest_rise(slope),
            f"{name}_tail": float(slope[[0, -1]].max()),
            f"{name}_closed_form_error": largest_error(slope, _BELL[name](z)),
        }
    around_zero = np.concatenate([z, [-1e-300, -0.0, 1e-300]])
    _, slope = evaluate(named("relu"), around_zero)
    quantities["relu_error"] = largest_error(slope, (around_zero > 0).astype(np.float64))
    return quantities


@check(
    "phi'(z) / max phi' by autograd on the same grid",
    quantities=(
        "sigmoid_at_3 sigmoid_at_5 sigmoid_at_10 sigmoid_beyond_7 sigmoid_largest_rise tanh_at_3 tanh_at_5 tanh_at_10 "
        "tanh_beyond_4 tanh_largest_rise closed_form_error"
    ),
)
def saturation_kills_gradient() -> dict[str, float]:
    """Measure phi'(z) / max phi' of sigmoid and tanh, farther and farther from 0, on both sides."""
    z = grid()
    quantities: dict[str, float] = {}
    errors = []
    for name, beyond in (("sigmoid", 7), ("tanh", 4)):
        _, slope = evaluate(named(name), z)
        passed = slope / slope.max()
        errors.append(largest_error(passed, _BELL[name](z) / _BELL[name](np.zeros(1))))
        quantities |= {f"{name}_at_{point}": float(passed[np.abs(z) == point].max()) for point in (3, 5, 10)}
        quantities[f"{name}_beyond_{beyond}"] = float(passed[np.abs(z) >= beyond].max())
        quantities[f"{name}_largest_rise"] = _largest_rise(passed)
    return {**quantities, "closed_form_error": max(errors)}


SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer et al. 2017, lambda_01; to this precision in the paper's published code."""
SELU_ALPHA = 1.6732632423543772848170429916717
"""Klambauer et al. 2017, alpha_01; to this precision in the paper's published code."""


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
        "leaky_error elu_error elu_derivative_error elu_jump elu_derivative_jump selu_error selu_scale_error "
        "selu_alpha_error selu_fixed_point_error"
    ),
)
def activation_formulas() -> dict[str, float]:
    """Measure Leaky ReLU, ELU and SELU against their formulas, and ELU on both sides of 0."""
    z = grid()
    leaky = [(0.01, named("leaky_relu")), *((k, _leaky(k)) for k in (0.01, 0.02, 0.25, 1 / 3))]
    below = np.minimum(z, 0)
    elu_values, elu_slopes = evaluate(named("elu"), z)
    values_around_zero, slopes_around_zero = evaluate(named("elu"), np.array([-1e-12, 0.0, 1e-12]))
    selu = named("selu")
    selu_values, _ = evaluate(selu, z)
    scale = selu_values[z == 1.0][0]
    return {
        "leaky_error": max(largest_error(evaluate(layer, z)[0], np.maximum(k * z, z)) for k, layer in leaky),
        "elu_error": largest_error(elu_values, np.where(z > 0, z, np.expm1(below))),
        "elu_derivative_error": largest_error(elu_slopes, np.where(z > 0, 1.0, np.exp(below))),
        "elu_jump": float(np.ptp(values_around_zero)),
        "elu_derivative_jump": float(np.ptp(slopes_around_zero)),
        "selu_error": largest_error(selu_values, SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(below))),
        "selu_scale_error": float(abs(scale - SELU_SCALE)),
        "selu_alpha_error": float(abs(-selu_values[0] / scale - SELU_ALPHA)),
        "selu_fixed_point_error": max(abs(_gaussian_moment(selu, 1)), abs(_gaussian_moment(selu, 2) - 1)),
    }


@check(
    "He et al. 2015, eq. 2; central differences of the loss",
    quantities="slopes_a_layer smallest_gradient gradient_error update_error smallest_move",
)
def prelu_slope_learned() -> dict[str, float]:
    """Measure the gradient of each PReLU slope against finite differences, and how SGD moves it."""
    rng = generator(8, Stream.CHECKS)
    lr, step = 0.1, 1e-6
    model = build({"depth": 3, "width": 8, "activation": "prelu"}, 6, 4, check=8, num_replicas=4)
    slopes = [cast(PReLU, layer.activation).slope for layer in layers_of(model)]
    learned = {id(parameter) for parameter in model.parameters()}
    x = torch.from_numpy(rng.standard_normal((4, 64, 6)))
    labels = torch.from_numpy(rng.integers(0, 4, (4, 64)))

    def differences(slope: Tensor) -> Array:
        """Return (L(slope + step) - L(slope - step)) / (2 step), one value per replica."""
        with torch.no_grad():
            start = slope.detach().clone()
            slope.data = start + step
            above = losses_of(model(x), labels)
            slope.data = start - step
            below = losses_of(model(x), labels)
            slope.data = start
        return ((above - below) / (2 * step)).numpy()

    expected = np.stack([differences(slope) for slope in slopes])
    start = np.stack([slope.detach().numpy().copy() for slope in slopes])
    first_gradient, after_one = np.zeros_like(start), start
    for number in range(10):
        model.zero_grad()
        losses_of(model(x), labels).sum().backward()
        if number == 0:
            first_gradient = np.stack([(torch.zeros_like(s) if s.grad is None else s.grad).numpy() for s in slopes])
        sgd_step(model, lr)
        if number == 0:
            after_one = np.stack([slope.detach().numpy().copy() for slope in slopes])
    end = np.stack([slope.detach().numpy() for slope in slopes])
    return {
        "slopes_a_layer": sum(id(slope) in learned for slope in slopes) / len(slopes),
        "smallest_gradient": float(np.abs(first_gradient).min()),
        "gradient_error": float((np.abs(first_gradient - expected) / np.abs(expected)).max()),
        "update_error": float(np.abs(after_one - start + lr * expected).max()),
        "smallest_move": float(np.abs(end - start).min()),
    }


RRELU_LOW, RRELU_HIGH = 1 / 8, 1 / 3
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
    law = stats.uniform(RRELU_LOW, RRELU_HIGH - RRELU_LOW)
    return {
        "training_ks_p": float(stats.kstest(trained.ravel(), law.cdf, method="asymp").pvalue),
        "training_outside": float(max(RRELU_LOW - trained.min(), trained.max() - RRELU_HIGH)),
        "repeated_share": float((trained[1:] == trained[:-1]).mean()),
        "evaluation_spread": float(np.ptp(evaluated)),
        "evaluation_error": largest_error(evaluated, np.full_like(evaluated, (RRELU_LOW + RRELU_HIGH) / 2)),
        "positive_error": positive_error,
    }
