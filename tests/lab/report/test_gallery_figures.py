"""The numbers in the gallery's figures against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from vgtemplate.lab.report import gallery_figures as figures
from vgtemplate.lab.report import gallery_networks as networks


def test_saturation_begins_where_the_derivative_is_a_tenth_of_its_maximum() -> None:
    # sigma' = 0.025: sigma = (1 + sqrt(0.9)) / 2; sech^2 = 0.1: cosh = sqrt(10).
    upper = (1 + math.sqrt(0.9)) / 2
    assert figures.saturation_edge(figures.SIGMOID.derivative) == pytest.approx(math.log(upper / (1 - upper)))
    assert figures.saturation_edge(figures.TANH.derivative) == pytest.approx(math.acosh(math.sqrt(10)))


@given(st.floats(0.001, 0.999))
def test_deviation_gives_back_the_share_that_is_saturated(share: float) -> None:
    deviation = figures.spread_of(share)
    edge = figures.saturation_edge(figures.SIGMOID.derivative)
    assert 2 * stats.norm.sf(edge / deviation) == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize("weight", [4.5, 6.9, 20.0, -20.0])
def test_widest_interval_is_that_found_numerically(weight: float) -> None:
    """The factor is largest where w a + b = 0; its bounds are where |w| sigmoid'(z) falls to 1."""
    edge = optimize.brentq(lambda z: abs(weight) * figures.SIGMOID.derivative(np.array(z)) - 1, 0, 50)
    assert figures.widest_interval(weight) == pytest.approx(2 * edge / abs(weight))


def test_no_interval_up_to_a_weight_of_four_and_never_one_of_half() -> None:
    assert figures.widest_interval(4.0) == figures.widest_interval(-3.0) == 0.0
    widths = [figures.widest_interval(weight) for weight in np.linspace(4, 60, 2000)]
    assert 0.44 < max(widths) < 0.45


def test_products_of_random_chains_fall_as_their_mean_logarithm_says() -> None:
    depths, products = networks.draw_products()
    assert products.shape == (20, 1000)
    assert (np.diff(products, axis=0) <= 0).mean() > 0.95
    factor = np.log10(products[0]).mean()
    assert np.log10(products[-1]).mean() == pytest.approx(20 * factor, rel=0.05)
    np.testing.assert_array_equal(products, networks.draw_products()[1])
    assert depths[0] == 1
