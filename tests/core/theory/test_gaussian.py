"""The quadrature against adaptive integration, closed forms, and its own limits."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from vgtemplate.theory.gaussian import Function, gaussian_expectation
from vgtemplate.theory.numpy_activations import FORMULAS


def integrate(function: Function, q: float) -> float:
    """Adaptive quadrature over pieces that end where the function or the Gaussian changes."""
    deviation = math.sqrt(q)

    def integrand(z: float) -> float:
        return float(function(np.array(z))) * math.exp(-z * z / (2 * q)) / (deviation * math.sqrt(2 * math.pi))

    points = {min(point, 13 * deviation) for point in (1, 3, 8, 20, deviation, 3 * deviation, 6 * deviation, math.inf)}
    edges = sorted({0.0, *points, *(-point for point in points)})
    return sum(quad(integrand, low, high, epsabs=1e-16, epsrel=1e-11)[0] for low, high in pairwise(edges))


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 10.0, 1e4, 1e6])
@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_moments_of_every_activation_equal_adaptive_integration(name: str, q: float) -> None:
    activation = FORMULAS[name]
    for function in (activation.function, activation.derivative):
        ours = gaussian_expectation(lambda z, f=function: f(z) ** 2, q)
        assert ours == pytest.approx(integrate(lambda z, f=function: f(z) ** 2, q), rel=1e-10)


@pytest.mark.parametrize("q", [0.01, 1.0, 7.0, 1e4])
def test_erf_has_the_arcsine_closed_form(q: float) -> None:
    """Williams 1997, Computation with infinite networks."""
    closed_form = 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    assert gaussian_expectation(lambda z: erf(z) ** 2, q) == pytest.approx(closed_form, rel=1e-11)


@pytest.mark.parametrize("q", [1e-8, 0.5, 3.0, 1e12])
def test_powers_have_the_gaussian_moments(q: float) -> None:
    assert gaussian_expectation(np.ones_like, q) == pytest.approx(1, rel=1e-12)
    assert gaussian_expectation(np.square, q) == pytest.approx(q, rel=1e-12)
    assert gaussian_expectation(lambda z: z**4, q) == pytest.approx(3 * q**2, rel=1e-12)


def test_a_kink_away_from_zero_is_exact_once_it_is_named() -> None:
    inside = erf(0.3 / math.sqrt(2))
    step = lambda z: (np.abs(z) < 0.3).astype(float)  # noqa: E731
    assert gaussian_expectation(step, 1.0, kinks=(-0.3, 0.3)) == pytest.approx(inside, rel=1e-12)
    assert abs(gaussian_expectation(step, 1.0) - inside) > 1e-4


def test_zero_variance_is_the_limit_from_above() -> None:
    relu = FORMULAS["relu"]
    assert gaussian_expectation(lambda z: relu.derivative(z) ** 2, 0.0) == pytest.approx(0.5, rel=1e-12)
    assert gaussian_expectation(FORMULAS["sigmoid"].function, 0.0) == pytest.approx(0.5, rel=1e-12)


def test_a_variance_that_is_none_is_refused_or_not_a_number() -> None:
    with pytest.raises(ValueError, match="variance"):
        gaussian_expectation(np.tanh, -1e-9)
    assert math.isnan(gaussian_expectation(np.tanh, math.inf))
    assert math.isnan(gaussian_expectation(np.tanh, math.nan))


@pytest.mark.parametrize("kinks", [(), (0.0,), (-0.3, 0.3)])
def test_many_variances_at_once_are_each_as_alone(kinks: tuple[float, ...]) -> None:
    q = np.array([[0.0, 1e-9, 0.2], [1.0, 50.0, math.inf]])
    together = gaussian_expectation(lambda z: (np.tanh(z) - 0.1) ** 2, q, kinks)
    alone = [[float(gaussian_expectation(lambda z: (np.tanh(z) - 0.1) ** 2, at, kinks)) for at in row] for row in q]
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    assert math.isnan(together[1, 2])
