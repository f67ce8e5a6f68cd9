"""The figures of the theory draw what was computed, in any range."""

from __future__ import annotations

import numpy as np
import pytest

from vgtemplate.figures.theory import draw_comparison, draw_phase_diagram, draw_prediction
from vgtemplate.prediction import Comparison
from vgtemplate.theory.critical import critical_sigma_w_sq
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.phase import phase_diagram
from vgtemplate.theory.profiles import predict


def test_profile_is_drawn_with_its_band() -> None:
    prediction = predict("tanh", 40, weight_std=0.2)
    upper, lower = draw_prediction(prediction, "a network", 64).axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), prediction.log10_gradient_rms)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), prediction.log10_signal_rms)
    low, high = prediction.gradient_band
    edge = upper.collections[0].get_paths()[0].vertices[:, 1]
    assert (edge.min(), edge.max()) == pytest.approx((low.min(), high.max()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("std", [0.0, 1e-3, 30.0])
def test_profile_that_leaves_all_range_is_drawn(std: float) -> None:
    draw_prediction(predict("relu", 500, weight_std=std), "a network", 64).draw_without_rendering()


def test_flat_profile_looks_flat() -> None:
    upper, lower = draw_prediction(predict("relu", 5, weight_std=np.sqrt(2 / 64)), "a network", 64).axes
    for axes in (upper, lower):
        bottom, top = axes.get_ylim()
        assert top - bottom >= 1 - 1e-9


def test_phases_are_coloured_by_what_the_gradient_does() -> None:
    weights, biases = np.linspace(0.1, 3, 30), np.array([0.0, 0.05, 0.2])
    tanh = FORMULAS["tanh"]
    critical = np.array([critical_sigma_w_sq(tanh, variance) for variance in biases])
    figure = draw_phase_diagram(phase_diagram(tanh, weights, biases), "tanh")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), critical)
    shown = axes.collections[0].get_array().reshape(3, 30)
    signs = np.sign(weights[None] - critical[:, None])
    assert (np.sign(shown) == signs)[np.abs(weights[None] - critical[:, None]) > 0.15].all()


def test_errors_are_drawn_over_the_slopes() -> None:
    compared = [
        Comparison(-0.3, -0.4, -0.2, (-0.31, -0.33), 64, True),
        Comparison(0.1, 0.0, 0.2, (0.1, 0.12), 64, False),
    ]
    axes = draw_comparison(compared).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], pytest.approx(line.get_ydata()[0])) for line in dots] == [(-0.3, -0.02), (0.1, 0.01)]
