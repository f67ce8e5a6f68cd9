"""The phase diagram against the fixed points and factors found one by one."""

import math

import numpy as np
import pytest

from vgtemplate.theory.critical import fixed_point
from vgtemplate.theory.meanfield import chi_1
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.phase import phase_diagram

WEIGHTS = np.array([0.3, 0.95, 1.4, 2.5, 6.0])
BIASES = np.array([0.0, 0.02, 0.4])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "gelu", "selu", "elu"])
def test_every_point_is_the_fixed_point_that_1_tends_to(name: str) -> None:
    activation = FORMULAS[name]
    diagram = phase_diagram(activation, WEIGHTS, BIASES)
    for row, sigma_b_sq in enumerate(BIASES):
        for column, sigma_w_sq in enumerate(WEIGHTS):
            q = fixed_point(activation, sigma_w_sq, sigma_b_sq)
            assert diagram.q[row, column] == pytest.approx(q, rel=2e-3, abs=1e-10), (sigma_w_sq, sigma_b_sq)
            expected = chi_1(activation, min(q, 1e12), sigma_w_sq)
            assert diagram.chi_1[row, column] == pytest.approx(expected, rel=2e-3), (sigma_w_sq, sigma_b_sq)


def test_relu_at_the_critical_scale_keeps_any_signal() -> None:
    diagram = phase_diagram(FORMULAS["relu"], np.array([1.9, 2.0, 2.1]), np.array([0.0, 0.1]))
    assert diagram.q[0].tolist() == [0.0, pytest.approx(1.0), math.inf]
    assert diagram.q[1].tolist() == [pytest.approx(2.0, rel=1e-3), math.inf, math.inf]
    np.testing.assert_allclose(diagram.chi_1, [[0.95, 1.0, 1.05]] * 2)
