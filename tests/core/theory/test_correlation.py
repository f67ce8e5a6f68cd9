"""Two images in a random network, against closed forms and against plain wide networks."""

import math

import numpy as np
import pytest
from scipy.special import erf

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.theory.correlation import c_fixed_point, c_map, depth_scales, pair_expectation
from vgtemplate.theory.critical import fixed_point
from vgtemplate.theory.meanfield import q_map
from vgtemplate.theory.numpy_activations import FORMULAS

RELU, TANH, SELU = (FORMULAS[name] for name in ("relu", "tanh", "selu"))
CORRELATIONS = [0.0, 0.3, 0.9, 0.999, 1.0]


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize("q", [0.1, 1.7, 30.0])
def test_erf_has_the_arcsine_kernel(q: float, c: float) -> None:
    """Williams 1997, Computation with infinite networks."""
    closed_form = 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))
    assert pair_expectation(erf, q, c, (0.0,)) == pytest.approx(closed_form, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize("q", [0.1, 1.7, 30.0])
def test_relu_has_the_arc_cosine_kernels(q: float, c: float) -> None:
    """Cho & Saul 2009, eq. 1, orders 1 and 0."""
    angle = math.acos(c)
    first = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * c)
    assert pair_expectation(RELU.function, q, c, RELU.kinks) == pytest.approx(first, rel=1e-8)
    zeroth = (math.pi - angle) / (2 * math.pi)
    assert pair_expectation(RELU.derivative, q, c, RELU.kinks) == pytest.approx(zeroth, rel=1e-6)


def test_identical_images_stay_identical() -> None:
    q = fixed_point(TANH, 2.0, 0.3)
    assert c_map(TANH, 1.0, q, 2.0, 0.3) == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "sigma_w_sq", "sigma_b_sq"), [("tanh", 3.0, 0.05), ("tanh", 1.3, 0.05), ("selu", 1, 0)]
)
def test_correlation_ends_where_its_map_does(name: str, sigma_w_sq: float, sigma_b_sq: float) -> None:
    activation, c = FORMULAS[name], 0.5
    q = fixed_point(activation, sigma_w_sq, sigma_b_sq)
    for _ in range(300):
        c = c_map(activation, c, q, sigma_w_sq, sigma_b_sq)
    assert c_fixed_point(activation, q, sigma_w_sq, sigma_b_sq) == pytest.approx(c, abs=1e-4)


def test_ordered_phase_forgets_the_correlation_as_the_gradient() -> None:
    """Schoenholz et al. 2017, section 3: with c* = 1 both factors are chi_1."""
    scales = depth_scales(TANH, 1.3, 0.05)
    assert scales.c_star == 1
    assert scales.of_c == pytest.approx(scales.of_gradient) == pytest.approx(-1 / math.log(scales.chi_1))


def test_variance_returns_to_its_fixed_point_at_its_depth_scale() -> None:
    scales = depth_scales(SELU, 1.0)
    q, off = 1.0 + 1e-4, []
    for _ in range(4):
        q = q_map(SELU, q, 1.0)
        off.append(q - 1)
    assert off[3] / off[0] == pytest.approx(math.exp(-3 / scales.of_q), rel=1e-3)


def test_relu_at_the_edge_has_no_scale() -> None:
    scales = depth_scales(RELU, 2.0)
    assert (scales.chi_1, scales.c_star) == pytest.approx((1.0, 1.0))
    assert math.isinf(scales.of_gradient)
    growing = depth_scales(RELU, 3.0)
    assert math.isinf(growing.q_star)
    assert math.isnan(growing.of_c)
    assert growing.chi_1 == pytest.approx(1.5)


@pytest.mark.slow
@pytest.mark.parametrize(("sigma_w_sq", "sigma_b_sq"), [(1.3, 0.05), (3.0, 0.05)])
def test_correlation_of_a_wide_network_moves_as_predicted(sigma_w_sq: float, sigma_b_sq: float) -> None:
    random, width, depth = generator(0, Stream.CHECKS), 3000, 6
    q = fixed_point(TANH, sigma_w_sq, sigma_b_sq)
    x = random.standard_normal((2, width))
    c = 0.6
    h = math.sqrt(q) * np.stack([x[0], c * x[0] + math.sqrt(1 - c**2) * x[1]])
    for _ in range(depth):
        weights = random.standard_normal((width, width)) * math.sqrt(sigma_w_sq / width)
        h = np.tanh(h) @ weights + math.sqrt(sigma_b_sq) * random.standard_normal(width)
        c = c_map(TANH, c, q, sigma_w_sq, sigma_b_sq)
    assert np.corrcoef(h)[0, 1] == pytest.approx(c, abs=0.05)
