"""What the notes of the exact claims say beyond their parts: where the articles' sentences stop being true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from vgtemplate.lab.checks import activations as formulas
from vgtemplate.lab.checks import networks
from vgtemplate.nn import activations, blocks, norm


def derivative(name: str, *points: float) -> list[float]:
    z = torch.tensor([points], dtype=torch.float64, requires_grad=True)
    activations.Activation(name)(z).sum().backward()
    assert z.grad is not None
    return z.grad[0].tolist()


def test_shares_reported_without_threshold_are_those_in_the_notes() -> None:
    shares = formulas.saturation_kills_gradient()
    for name, scale in (("sigmoid", 2), ("tanh", 1)):
        for point in (3, 5, 10):
            assert shares[f"{name}_at_{point}"] == pytest.approx(np.cosh(point / scale) ** -2, rel=1e-6)
    rounded = [round(shares[name], 4) for name in ("sigmoid_at_3", "sigmoid_at_5", "tanh_at_3")]
    assert rounded == [0.1807, 0.0266, 0.0099]


def test_share_crosses_one_and_ten_percent_where_the_notes_say() -> None:
    assert np.round(2 * np.arccosh([10, np.sqrt(10)]), 2).tolist() == [5.99, 3.64]
    for name, scale in (("sigmoid", 2), ("tanh", 1)):
        at_zero, one, ten = derivative(name, 0, scale * np.arccosh(10), scale * np.arccosh(np.sqrt(10)))
        assert one / at_zero == pytest.approx(0.01, rel=1e-9)
        assert ten / at_zero == pytest.approx(0.10, rel=1e-9)


def test_float64_derivative_is_exactly_zero_only_where_the_notes_say() -> None:
    assert derivative("sigmoid", 37, -40) == [0.0, pytest.approx(np.exp(-40), rel=1e-12)]
    assert derivative("tanh", 20, -20) == [0.0, 0.0]
    assert min(derivative("sigmoid", 36, -36)) > 0
    assert min(derivative("tanh", 18, -18)) > 0


def test_selu_derivative_jumps_as_the_notes_say() -> None:
    left, right = derivative("selu", -1e-9, 1e-9)
    assert (round(left, 3), round(right, 3)) == (1.758, 1.051)


def test_elu_second_derivative_jumps_from_one_to_zero() -> None:
    left, zero, right = derivative("elu", -1e-6, 0.0, 1e-6)
    assert ((zero - left) / 1e-6, (right - zero) / 1e-6) == (pytest.approx(1, abs=1e-5), 0.0)


def test_leaky_formula_is_no_maximum_for_slopes_above_one() -> None:
    layer = formulas._leaky(2.0)
    assert layer(torch.tensor([[-1.0]], dtype=torch.float64)).item() == -2.0 != max(2.0 * -1.0, -1.0)


def test_batchnorm_leaves_the_shape_of_a_distribution_as_it_is() -> None:
    x = np.random.default_rng(0).exponential(size=(1, 4096, 1))
    y = norm.BatchNorm(1, 1).double()(torch.from_numpy(x)).detach().numpy()
    assert stats.skew(y[0, :, 0]) == pytest.approx(stats.skew(x[0, :, 0]), rel=1e-6)
    assert stats.skew(y[0, :, 0]) > 1.5


def test_silenced_unit_of_the_first_layer_never_recovers_however_near_zero() -> None:
    silence = networks._silence
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "_silence", lambda layers, x, margin: silence(layers[:1], x, margin))
        patch.setattr(networks, "_largest_input", first_layer_input)
        assert networks._train_with_silenced_units("relu", margin=1e-9)["largest_input"] < 0
        assert networks._train_with_silenced_units("leaky_relu", margin=1e-9)["largest_input"] > 0


def first_layer_input(layers: list[blocks.HiddenLayer], x: torch.Tensor) -> float:
    with torch.no_grad():
        return float(layers[0].linear(x)[:, :, 0].max())
