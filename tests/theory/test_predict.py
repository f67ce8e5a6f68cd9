"""Predicted slopes against closed forms and against wide random networks in plain numpy."""

import math
from itertools import pairwise

import numpy as np
import pytest

from vgtemplate.config.seeding import Stream, generator
from vgtemplate.theory.numpy_activations import ACTIVATIONS
from vgtemplate.theory.predict import predict

DEPTH = 15
BATCH = 128


def fit(profile: list[float]) -> float:
    return float(np.polyfit(np.arange(len(profile)), profile, 1)[0])


def log10_rms(values: np.ndarray) -> float:
    return float(np.log10(np.sqrt(np.mean(values**2))))


def measure_slopes(
    name: str, widths: list[int], variances: list[float], norm: str, bias_variance: float = 0.0
) -> tuple[float, float]:
    """Gradient and signal slope of one random network, layers 2 to L; the loss has a random gradient at the output."""
    random = generator(0, Stream.CHECKS)
    phi = ACTIVATIONS[name]
    h = random.standard_normal((BATCH, widths[0]))
    weights, zs, deviations, signal = [], [], [], []
    for (fan_in, fan_out), var in zip(pairwise(widths), variances, strict=True):
        weights.append(random.standard_normal((fan_in, fan_out)) * math.sqrt(var))
        z = h @ weights[-1] + random.standard_normal(fan_out) * math.sqrt(bias_variance)
        deviations.append(z.std(axis=0) if norm == "batch" else np.ones(fan_out))
        zs.append((z - z.mean(axis=0)) / deviations[-1] if norm == "batch" else z)
        h = phi.function(zs[-1])
        signal.append(log10_rms(h))
    gradient = phi.derivative(zs[-1]) * random.standard_normal(h.shape)
    profile = [log10_rms(gradient)]
    for layer in range(len(zs) - 1, 1, -1):
        if norm == "batch":
            along_z = zs[layer] * np.mean(gradient * zs[layer], axis=0)
            gradient = (gradient - gradient.mean(axis=0) - along_z) / deviations[layer]
        gradient = phi.derivative(zs[layer - 1]) * (gradient @ weights[layer].T)
        profile.append(log10_rms(gradient))
    return fit(profile), fit(signal[1:])


@pytest.mark.parametrize(
    ("name", "sigma_w_sq", "sigma_b_sq", "norm"),
    [
        ("tanh", 1.0, 0.0, "none"),
        ("tanh", 4.0, 0.0, "none"),
        ("relu", 2.0, 0.0, "none"),
        ("relu", 1.0, 0.0, "none"),
        ("sigmoid", 1.0, 1.0, "none"),
        ("selu", 1.0, 0.0, "none"),
        ("relu", 2.0, 0.0, "batch"),
        ("tanh", 1.0, 0.0, "batch"),
    ],
)
def test_slopes_of_a_wide_network_lie_on_the_prediction(
    name: str, sigma_w_sq: float, sigma_b_sq: float, norm: str
) -> None:
    width = 1000
    gradient, signal = measure_slopes(
        name, [width] * (DEPTH + 1), [sigma_w_sq / width] * DEPTH, norm, bias_variance=sigma_b_sq
    )
    expected = predict(name, DEPTH, sigma_w_sq + sigma_b_sq, sigma_w_sq, sigma_b_sq=sigma_b_sq, norm=norm)
    assert gradient == pytest.approx(expected.gradient_slope, abs=0.005)
    assert signal == pytest.approx(expected.signal_slope, abs=0.005)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_alternating_widths_use_fan_in_forward_and_fan_out_backward(norm: str) -> None:
    widths = [400, *([400, 1200] * 5)]
    pairs = list(pairwise(widths))
    variances = [1 / fan_in for fan_in, _ in pairs]
    expected = predict(
        "tanh",
        len(pairs),
        q_first=1.0,
        sigma_w_sq=[1.0] * len(pairs),
        sigma_w_sq_backward=[fan_out * var for (_, fan_out), var in zip(pairs, variances, strict=True)],
        norm=norm,
    )
    gradient, signal = measure_slopes("tanh", widths, variances, norm)
    assert gradient == pytest.approx(expected.gradient_slope, abs=0.005)
    assert signal == pytest.approx(expected.signal_slope, abs=0.005)
    steps = np.diff(expected.log10_gradient_rms)
    assert steps[0::2].max() < 0 < steps[1::2].min()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_relu_slopes_are_the_logarithm_of_the_weight_scale(scale: float) -> None:
    """He et al. 2015: a factor `scale` on He's deviation is a factor a layer, in both directions."""
    prediction = predict("relu", 30, q_first=2 * scale**2, sigma_w_sq=2 * scale**2)
    assert prediction.gradient_slope == pytest.approx(math.log10(scale), abs=1e-12)
    assert prediction.signal_slope == pytest.approx(math.log10(scale), abs=1e-12)
    assert prediction.log10_gradient_rms[-1] == 0
    assert prediction.log10_gradient_rms[0] == pytest.approx(29 * math.log10(scale), abs=1e-9)


def test_forward_and_backward_variance_act_on_their_own_direction() -> None:
    prediction = predict("identity", 10, q_first=1.0, sigma_w_sq=[9.0] + [1.0] * 9, sigma_w_sq_backward=4.0)
    np.testing.assert_allclose(prediction.q, 1.0)
    assert prediction.signal_slope == pytest.approx(0, abs=1e-12)
    assert prediction.gradient_slope == pytest.approx(math.log10(2))


@pytest.mark.parametrize(("q_first", "sigma_w_sq", "sigma_b_sq"), [(1, 1, 0), (5, 64, 1), (0.1, 0.0064, 0)])
def test_batchnorm_cancels_scale_and_bias(q_first: float, sigma_w_sq: float, sigma_b_sq: float) -> None:
    prediction = predict("relu", 20, q_first, sigma_w_sq, sigma_b_sq=sigma_b_sq, norm="batch")
    assert prediction.gradient_slope == pytest.approx(0.5 * math.log10(math.pi / (math.pi - 1)))
    assert prediction.signal_slope == pytest.approx(0, abs=1e-12)


def test_fewer_than_two_fitted_layers_have_no_slope() -> None:
    assert math.isnan(predict("tanh", 2, 1.0, 1.0).gradient_slope)
    assert math.isnan(predict("tanh", 1, 1.0, 1.0).signal_slope)
    assert math.isfinite(predict("tanh", 3, 1.0, 1.0).gradient_slope)


@pytest.mark.filterwarnings("error")
def test_a_signal_out_of_range_has_no_slope_and_no_warning() -> None:
    assert math.isnan(predict("relu", 400, 1.0, 64.0).signal_slope)
    assert math.isnan(predict("relu", 400, 1.0, 1e-4).signal_slope)


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="rellu"):
        predict("rellu", 3, 1.0, 1.0)
