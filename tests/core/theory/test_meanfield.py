"""The theory of one layer against closed forms and published values."""

import math

import numpy as np
import pytest
from scipy.special import erf, ndtr

from vgtemplate.config.errors import UserError
from vgtemplate.theory.critical import critical_gain, critical_sigma_w_sq, fixed_point
from vgtemplate.theory.gaussian import gaussian_expectation
from vgtemplate.theory.meanfield import (
    chi_1,
    derivative_mean_square,
    mean_square,
    moments,
    q_map,
    saturated_fraction,
)
from vgtemplate.theory.numpy_activations import FORMULAS, Activation, leaky
from vgtemplate.theory.profiles import predict

RELU, TANH, SIGMOID, SELU = (FORMULAS[name] for name in ("relu", "tanh", "sigmoid", "selu"))
ERF = Activation(erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2)))


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.25, 1.0])
def test_a_leaky_unit_keeps_half_of_one_plus_slope_squared(slope: float) -> None:
    """He et al. 2015, section 2.2."""
    kept = (1 + slope**2) / 2
    assert q_map(leaky(slope), 3.0, sigma_w_sq=1.7, sigma_b_sq=0.2) == pytest.approx(1.7 * kept * 3 + 0.2)
    assert chi_1(leaky(slope), 3.0, sigma_w_sq=1.7) == pytest.approx(1.7 * kept)
    assert critical_sigma_w_sq(leaky(slope)) == pytest.approx(1 / kept)


def test_selu_keeps_mean_zero_and_variance_one() -> None:
    """Klambauer et al. 2017: the fixed point that defines its two constants; the gradient grows nevertheless."""
    assert q_map(SELU, 1.0, sigma_w_sq=1.0) == pytest.approx(1, rel=1e-11)
    assert float(moments(SELU, 1.0).mean) == pytest.approx(0, abs=1e-11)
    for start in (0.2, 1.0, 4.0):
        assert fixed_point(SELU, 1.0, q=start) == pytest.approx(1, rel=1e-9)
    assert chi_1(SELU, 1.0, 1.0) == pytest.approx(1.0716, abs=5e-5)


def test_erf_units_have_closed_forms() -> None:
    """Williams 1997 for the q map; E[erf'^2] = 4 / (pi sqrt(1 + 4q)) by completing the square."""
    q = 0.8
    assert q_map(ERF, q, 2.0, 0.1) == pytest.approx(4 / math.pi * math.asin(2 * q / (1 + 2 * q)) + 0.1)
    assert derivative_mean_square(ERF, q) == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * q))
    assert critical_sigma_w_sq(ERF) == pytest.approx(math.pi / 4)


@pytest.mark.parametrize(
    ("activation", "sigma_w_sq", "sigma_b_sq", "expected"),
    [
        (RELU, 1.0, 0.1, 0.2),
        (RELU, 1.99, 0.0, 0.0),
        (RELU, 2.0, 0.0, 1.0),
        (RELU, 2.0, 0.1, math.inf),
        (RELU, 2.01, 0.0, math.inf),
        (FORMULAS["identity"], 1.0, 0.1, math.inf),
        (FORMULAS["elu"], 2.0, 0.0, math.inf),
        (TANH, 0.9, 0.0, 0.0),
        (TANH, 1.0, 0.0, 0.0),
    ],
)
def test_fixed_point_is_known_zero_or_infinite(
    activation: Activation, sigma_w_sq: float, sigma_b_sq: float, expected: float
) -> None:
    assert fixed_point(activation, sigma_w_sq, sigma_b_sq) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("start", [0.01, 1.0, 50.0])
@pytest.mark.parametrize(("name", "sigma_w_sq", "sigma_b_sq"), [("tanh", 4, 0), ("sigmoid", 1, 1), ("gelu", 1.5, 0.3)])
def test_fixed_point_is_where_the_iterated_map_ends(
    name: str, sigma_w_sq: float, sigma_b_sq: float, start: float
) -> None:
    q = start
    for _ in range(200):
        q = q_map(FORMULAS[name], q, sigma_w_sq, sigma_b_sq)
    assert fixed_point(FORMULAS[name], sigma_w_sq, sigma_b_sq, start) == pytest.approx(q, rel=1e-9)


@pytest.mark.parametrize(("sigma_b_sq", "published"), [(0.0, 1.0), (0.05, 1.761)])
def test_tanh_edge_of_chaos_is_the_published_one(sigma_b_sq: float, published: float) -> None:
    """Schoenholz et al. 2017, section 2 and figure 2 (1.76)."""
    assert critical_sigma_w_sq(TANH, sigma_b_sq) == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "sigma_b_sq"),
    [("tanh", 0.05), ("tanh", 1.0), ("sigmoid", 0.0), ("sigmoid", 1.0), ("elu", 0.05), ("gelu", 1.0), ("silu", 1.0)],
)
def test_at_the_critical_scale_the_fixed_point_keeps_the_gradient(name: str, sigma_b_sq: float) -> None:
    activation = FORMULAS[name]
    critical = critical_sigma_w_sq(activation, sigma_b_sq)
    for scale, sign in [(0.99, -1), (1.0, 0), (1.01, 1)]:
        q = fixed_point(activation, scale * critical, sigma_b_sq, q=sigma_b_sq + 0.01)
        factor = chi_1(activation, q, scale * critical)
        assert (0 if factor == pytest.approx(1, abs=1e-6) else np.sign(factor - 1)) == sign


@pytest.mark.parametrize(("name", "sigma_b_sq"), [("relu", 0.1), ("gelu", 0.05), ("gelu", 0.0), ("silu", 0.0)])
def test_nothing_is_critical_where_the_fixed_point_is_infinite_or_repels(name: str, sigma_b_sq: float) -> None:
    assert math.isnan(critical_sigma_w_sq(FORMULAS[name], sigma_b_sq))


@pytest.mark.parametrize(("name", "gain"), [("relu", math.sqrt(2)), ("tanh", 1.0), ("identity", 1.0)])
def test_critical_gain(name: str, gain: float) -> None:
    assert critical_gain(name) == critical_gain(FORMULAS[name]) == pytest.approx(gain)


@pytest.mark.parametrize("name", ["gelu", "silu", "relu", "tanh"])
def test_critical_gain_of_a_depth_keeps_the_gradient_over_it(name: str) -> None:
    gain = critical_gain(name, depth=20)
    for factor, sign in ((0.97, -1), (1.0, 0), (1.03, 1)):
        change = predict(name, depth=20, width=100, weight_std=factor * gain / 10).total_change
        assert np.sign(0 if abs(change) < 0.01 else change) == sign
    assert math.isnan(critical_gain(name)) == (name in ("gelu", "silu"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown activation 'gelo'; did you mean 'gelu'"):
        critical_gain("gelo")


@pytest.mark.parametrize(("name", "sigma_b_sq", "sigma_w_sq"), [("gelu", 0.17292, 1.98305), ("silu", 0.55514, 1.98800)])
def test_critical_line_of_gelu_and_silu_begins_at_the_published_point(
    name: str, sigma_b_sq: float, sigma_w_sq: float
) -> None:
    """Roberts, Yaida & Hanin 2022, The Principles of Deep Learning Theory, section 5.3.4: half-stable criticality."""
    assert math.isnan(critical_sigma_w_sq(FORMULAS[name], 0.99 * sigma_b_sq))
    assert critical_sigma_w_sq(FORMULAS[name], 1.01 * sigma_b_sq) == pytest.approx(sigma_w_sq, abs=2e-3)


@pytest.mark.parametrize("q", [0.01, 1.0, 400.0])
def test_moments_are_those_found_one_by_one(q: float) -> None:
    for activation in FORMULAS.values():
        found = moments(activation, q)
        assert found.mean_square == pytest.approx(mean_square(activation, q), rel=1e-12)
        assert found.mean == pytest.approx(gaussian_expectation(activation.function, q, activation.kinks), rel=1e-12)
        assert found.slope_square == pytest.approx(derivative_mean_square(activation, q), rel=1e-12)
        assert found.slope_fourth >= found.slope_square**2 * (1 - 1e-12)
    assert moments(RELU, q).slope_fourth == pytest.approx(0.5)


@pytest.mark.parametrize("q", [0.1, 1.0, 64.0])
def test_saturated_share_is_the_gaussians_beyond_where_the_slope_is_small(q: float) -> None:
    # tanh' = 0.1 at cosh(z)^2 = 10; the sigmoid's slope is tanh's at half the argument.
    edge = math.acosh(math.sqrt(10))
    for activation, at in ((TANH, edge), (SIGMOID, 2 * edge)):
        assert saturated_fraction(activation, q) == pytest.approx(2 * ndtr(-at / math.sqrt(q)), abs=1e-3)
    assert saturated_fraction(RELU, q) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("sigma_b_sq", "published"), [(0.0, 0.236), (1.0, 0.205)])
def test_sigmoid_factor_lies_where_nielsen_measured_it(sigma_b_sq: float, published: float) -> None:
    """sqrt(chi_1) at sigma_w = 1; Nielsen's measured ratios of neighbouring layers are 0.175 to 0.246 (ch. 5)."""
    q = fixed_point(SIGMOID, 1.0, sigma_b_sq)
    assert math.sqrt(chi_1(SIGMOID, q, 1.0)) == pytest.approx(published, abs=1e-3)
