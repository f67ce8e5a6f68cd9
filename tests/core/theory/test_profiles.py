"""Predicted profiles against closed forms, and against plain PyTorch networks with autograd."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vgtemplate.config.errors import UserError
from vgtemplate.config.seeding import Stream, generator
from vgtemplate.theory.critical import balancing_factor
from vgtemplate.theory.layers import Layer
from vgtemplate.theory.numpy_activations import FORMULAS, Activation
from vgtemplate.theory.profiles import predict, predict_layers

TORCH: dict[str, Any] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": nn.functional.selu,
    "gelu": nn.functional.gelu,
}
WIDTH = 600
BATCH = 96


class Plain(nn.Module):
    """The layers as anybody would write them in PyTorch; keeps what each activation sees and each layer puts out."""

    def __init__(self, layers: Sequence[Layer], phi: Any, seed: int) -> None:
        super().__init__()
        self.settings, self.phi = list(layers), phi
        random = torch.Generator().manual_seed(seed)
        self.linear, self.norm = nn.ModuleList(), nn.ModuleList()
        for layer in layers:
            linear: nn.Module
            if layer.kernel == 1:
                linear = nn.Linear(layer.in_width, layer.width)
                norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
            else:
                linear = nn.Conv2d(
                    layer.in_width, layer.width, layer.kernel, stride=layer.stride, padding=layer.kernel // 2
                )
                norms = {"batch": nn.BatchNorm2d, "layer": lambda width: nn.GroupNorm(1, width)}
            linear.weight.data = torch.randn(linear.weight.shape, generator=random) * layer.weight_std
            linear.bias.data = torch.randn(linear.bias.shape, generator=random) * layer.bias_std
            self.linear.append(linear)
            self.norm.append(nn.Identity() if layer.norm == "none" else norms[layer.norm](layer.width))
        self.random = random

    def forward(self, x: Tensor) -> Tensor:
        self.z, self.y = [], []
        for layer, linear, norm in zip(self.settings, self.linear, self.norm, strict=True):
            before = layer.norm_position == "before"
            z = norm(linear(x)) if before else linear(x)
            z.retain_grad()
            h = self.phi(z) if before else norm(self.phi(z))
            if layer.dropout:
                h = h * (torch.rand(h.shape, generator=self.random) > layer.dropout) / (1 - layer.dropout)
            if layer.residual:
                h = h + (x[..., :: layer.stride, :: layer.stride] if x.dim() > 2 else x)
            x = h
            self.z.append(z)
            self.y.append(x)
        return x.mean(dim=(2, 3)) if x.dim() > 2 else x


def measure(layers: Sequence[Layer], name: str, images: np.ndarray, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """log10 RMS of dL/dz relative to the last layer, and of the signal: of mean squares over the seeds."""
    gradients, signals = [], []
    for seed in range(seeds):
        network = Plain(layers, TORCH[name], seed).double()
        out = network(torch.tensor(images))
        # Ten classes: the output layer's random weights times each image's gradient of the logits.
        rows = torch.randn(10, out.shape[1], generator=network.random).double()
        share = torch.randn(len(images), 10, generator=network.random).double()
        (out * (share @ rows)).sum().backward()
        gradients.append([float(z.grad.square().mean()) for z in network.z])
        signals.append([float(y.detach().square().mean()) for y in network.y])
    gradient = np.log10(np.mean(gradients, axis=0)) / 2
    return gradient - gradient[-1], np.log10(np.mean(signals, axis=0)) / 2


def stack(depth: int, std: float, width: int = WIDTH, **settings: Any) -> list[Layer]:
    residual = settings.pop("residual", False)
    return [Layer(width, width, std, residual=residual and index > 0, **settings) for index in range(depth)]


HE, LECUN = math.sqrt(2 / WIDTH), math.sqrt(1 / WIDTH)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("relu", stack(10, HE)),
        ("tanh", stack(10, LECUN)),
        ("tanh", stack(10, 3 * LECUN)),
        ("sigmoid", stack(6, LECUN, bias_std=1.0)),
        ("selu", stack(10, LECUN)),
        ("gelu", stack(10, HE)),
        ("relu", stack(10, HE, norm="batch")),
        ("tanh", stack(10, LECUN, norm="batch")),
        ("tanh", stack(10, 2 * LECUN, norm="batch", norm_position="after")),
        ("relu", stack(10, HE, norm="layer", bias_std=0.3)),
        ("tanh", stack(10, 2 * LECUN, norm="layer", norm_position="after", bias_std=0.3)),
        ("tanh", stack(10, LECUN, residual=True)),
        ("relu", stack(10, 0.3 * HE, residual=True)),
        ("relu", stack(10, HE, residual=True, norm="batch")),
        ("tanh", stack(10, LECUN, residual=True, norm="batch", norm_position="after")),
        ("relu", stack(10, HE, residual=True, norm="layer")),
        ("relu", stack(10, HE, dropout=0.3)),
        ("tanh", stack(10, LECUN, dropout=0.3, residual=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_layer_passes_signal_and_gradient_as_predicted(name: str, layers: list[Layer]) -> None:
    images = generator(0, Stream.CHECKS).standard_normal((BATCH, WIDTH))
    predicted = predict_layers(FORMULAS[name], layers)
    gradient, signal = measure(layers, name, images, seeds=5)
    np.testing.assert_allclose(signal, predicted.log10_signal_rms, atol=0.05)
    np.testing.assert_allclose(gradient, predicted.log10_gradient_rms, atol=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_convolutions_lose_at_the_edges_and_at_the_strides_what_is_predicted(name: str, norm: str) -> None:
    channels, scale = 64, {"relu": 2.0, "tanh": 1.5}[name]
    widths = [3, *[channels] * 6]
    layers = [
        Layer(fan_in, width, math.sqrt(scale / (9 * fan_in)), kernel=3, stride=2 if index == 3 else 1, norm=norm)
        for index, (fan_in, width) in enumerate(pairwise(widths))
    ]
    random = generator(1, Stream.CHECKS)
    images = random.standard_normal((24, 3, 13, 11))
    if norm != "batch":  # over a batch the theory takes all pixels for alike
        # Bright in the middle, dark at the rim, each image in its own strength.
        images *= (np.outer(np.hanning(13), np.hanning(11)) + 0.1) * random.uniform(0.5, 2, (24, 1, 1, 1))
    predicted = predict_layers(FORMULAS[name], layers, np.square(images).mean(axis=1))
    gradient, signal = measure(layers, name, images, seeds=4)
    np.testing.assert_allclose(signal, predicted.log10_signal_rms, atol=0.05)
    np.testing.assert_allclose(gradient, predicted.log10_gradient_rms, atol=0.06)


def test_images_of_unlike_size_are_each_followed() -> None:
    images = generator(2, Stream.CHECKS).standard_normal((BATCH, WIDTH)) * np.geomspace(0.1, 10, BATCH)[:, None]
    layers = stack(8, 1.5 * LECUN)
    gradient, signal = measure(layers, "tanh", images, seeds=3)
    each = predict_layers(FORMULAS["tanh"], layers, np.square(images).mean(axis=1).reshape(-1, 1, 1))
    np.testing.assert_allclose(signal, each.log10_signal_rms, atol=0.02)
    np.testing.assert_allclose(gradient, each.log10_gradient_rms, atol=0.05)
    same = predict_layers(FORMULAS["tanh"], layers, np.full((1, 1, 1), np.square(images).mean()))
    assert np.abs(gradient - same.log10_gradient_rms).max() > 0.2


def test_unscaled_shortcuts_double_the_squared_gradient_until_the_mean_takes_over() -> None:
    """Yang & Schoenholz 2017 for the doubling; the root of s^2 = 2 + 2 / (pi (s - 1)) for what the signal grows by."""
    wide = predict("relu", depth=30, weight_std=math.sqrt(2 / 10**12), width=10**12, residual=True)
    np.testing.assert_allclose(-np.diff(wide.log10_gradient_rms)[1:], 0.5 * math.log10(2), atol=1e-4)
    narrow = predict("relu", depth=60, weight_std=math.sqrt(2 / 64), width=64, residual=True)
    s = next(s for s in np.linspace(1.5, 2, 100_001) if s * s >= 2 + 2 / (math.pi * (s - 1)))
    np.testing.assert_allclose(-np.diff(narrow.log10_gradient_rms)[5:20], math.log10(s), atol=1e-3)
    np.testing.assert_allclose(np.diff(narrow.log10_signal_rms)[40:], math.log10(s), atol=1e-3)


@pytest.mark.parametrize("width", [32, 200])
@pytest.mark.parametrize("name", ["relu", "selu"])
def test_shortcuts_of_a_narrow_network_carry_the_gradient_as_predicted(name: str, width: int) -> None:
    layers = stack(24, math.sqrt({"relu": 2, "selu": 1}[name] / width), width, residual=True)
    images = generator(3, Stream.CHECKS).standard_normal((16, width))
    predicted = predict_layers(FORMULAS[name], layers)
    slopes = []
    for seed in range(20):
        gradient = profile_of_ten_classes(layers, name, images, seed)
        slopes.append(-np.polyfit(range(23), gradient[1:], 1)[0])
    assert np.median(slopes) == pytest.approx(predicted.gradient_slope, abs=0.008)
    gain = {"relu": 2, "selu": 1}[name]
    independent = predict(name, 24, weight_std=math.sqrt(gain / 10**12), width=10**12, residual=True).gradient_slope
    assert np.median(slopes) > independent + 0.015


def profile_of_ten_classes(layers: list[Layer], name: str, images: np.ndarray, seed: int) -> np.ndarray:
    network = Plain(layers, TORCH[name], seed).double()
    out = network(torch.tensor(images))
    rows = torch.randn(10, out.shape[1], generator=network.random).double()
    (out * rows[torch.arange(len(images)) % 10]).sum().backward()
    return np.log10([float(z.grad.square().mean()) for z in network.z]) / 2


@pytest.mark.parametrize("name", ["relu", "tanh", "selu"])
def test_nineteen_of_twenty_narrow_networks_lie_in_the_band(name: str) -> None:
    width, depth, num = 32, 16, 300
    gain = {"relu": 2.0, "tanh": 1.0, "selu": 1.0}[name]
    layers = stack(depth, math.sqrt(gain / width), width)
    predicted = predict_layers(FORMULAS[name], layers)
    phi, random = FORMULAS[name], generator(4, Stream.CHECKS)
    profiles = np.array([single(phi, layers, random) for _ in range(num)])
    low, high = predicted.gradient_band
    inside = ((profiles >= low - 1e-9) & (profiles <= high + 1e-9)).mean(axis=0)
    assert inside[:-1].min() > 0.88
    assert inside[0] < 0.995
    slopes = -np.polyfit(np.arange(depth - 1), profiles[:, 1:].T, 1)[0]
    lowest, highest = predicted.gradient_slope_band
    assert 0.88 < np.mean((slopes >= lowest) & (slopes <= highest)) < 0.999
    spread = (profiles[:, 0] / 0.5 * math.log(10)).std()
    assert spread == pytest.approx(math.sqrt(predicted.scatter[:-1].sum()), rel=0.2)


def single(phi: Activation, layers: list[Layer], random: np.random.Generator) -> np.ndarray:
    """The profile of one random network for one image of mean square 1, by hand."""
    h, weights, slopes = random.standard_normal(layers[0].in_width), [], []
    h *= math.sqrt(len(h) / (h @ h))
    for layer in layers:
        weights.append(random.standard_normal((layer.in_width, layer.width)) * layer.weight_std)
        z = h @ weights[-1]
        slopes.append(phi.derivative(z))
        h = phi.function(z)
    g = slopes[-1] * random.standard_normal(len(h))
    profile = [np.log10(g @ g) / 2]
    for weight, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        g = slope * (weight @ g)
        profile.append(np.log10(g @ g) / 2)
    return np.array(profile[::-1]) - profile[0]


def test_relu_scatters_as_published() -> None:
    """Hanin & Nica 2020, Products of many large random matrices: 5 / width a layer of the logarithm's variance."""
    np.testing.assert_allclose(predict("relu", 5, weight_std=0.1, width=40).scatter, 5 / 40)
    np.testing.assert_allclose(predict("identity", 5, weight_std=0.1, width=40).scatter, 2 / 40)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_relu_slopes_are_the_logarithm_of_the_weight_scale(scale: float) -> None:
    """He et al. 2015: a factor `scale` on He's deviation is a factor per layer, in both directions."""
    prediction = predict("relu", 30, weight_std=scale * math.sqrt(2 / 64))
    assert prediction.gradient_slope == pytest.approx(math.log10(scale), abs=1e-12)
    assert prediction.signal_slope == pytest.approx(math.log10(scale), abs=1e-12)
    assert prediction.log10_gradient_rms[-1] == 0
    assert prediction.total_change == pytest.approx(29 * math.log10(scale), abs=1e-9)


def test_unequal_widths_use_fan_in_forward_and_fan_out_backward() -> None:
    widths = [40, 40, 120, 40, 120]
    layers = [Layer(fan_in, width, 1 / math.sqrt(fan_in)) for fan_in, width in pairwise(widths)]
    prediction = predict_layers(FORMULAS["identity"], layers)
    np.testing.assert_allclose(prediction.q, 1.0)
    np.testing.assert_allclose(np.diff(prediction.log10_gradient_rms), [-d for d in np.log10([3, 1 / 3, 3]) / 2])


@pytest.mark.parametrize(("weight_std", "bias_std"), [(0.125, 0.0), (1.0, 1.0), (0.01, 0.0)])
def test_batch_normalisation_takes_scale_and_bias_out(weight_std: float, bias_std: float) -> None:
    """Yang et al. 2019: pi / (pi - 1) a layer of the squared gradient; 1e-5 beside the variance shows at std 0.01."""
    prediction = predict("relu", 20, weight_std, bias_std=bias_std, norm="batch")
    assert prediction.gradient_slope == pytest.approx(0.5 * math.log10(math.pi / (math.pi - 1)), abs=1e-3)
    assert prediction.signal_slope == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_batch_normalisation_keeps_a_linear_networks_gradient_and_no_others(name: str) -> None:
    """Var[phi] <= E[phi'^2] for a unit Gaussian, with equality for linear phi only (Chernoff 1981)."""
    slope = predict(name, 10, weight_std=1.0, norm="batch").gradient_slope
    assert slope == pytest.approx(0, abs=1e-5) if name == "identity" else slope > 0.002


def test_nielsens_sigmoid_network_vanishes_at_his_rate() -> None:
    """Neural Networks and Deep Learning, ch. 5: neighbouring layers' ratios are 0.175 to 0.246."""
    prediction = predict("sigmoid", 20, weight_std=1 / math.sqrt(30), width=30, bias_std=1.0)
    assert 0.175 < 10**prediction.gradient_slope < 0.246
    assert 10**prediction.gradient_slope == pytest.approx(0.205, abs=1e-3)


@pytest.mark.parametrize(("name", "gain"), [("relu", math.sqrt(2)), ("leaky_relu", math.sqrt(2 / 1.0001))])
def test_balancing_scale_of_a_homogeneous_activation_is_the_critical_one(name: str, gain: float) -> None:
    layers = stack(12, 0.125, 64)
    assert balancing_factor(FORMULAS[name], layers) == pytest.approx(gain, rel=1e-3)


def test_balanced_network_keeps_its_gradient_over_its_depth() -> None:
    factor = balancing_factor(FORMULAS["tanh"], stack(30, 0.125, 64))
    assert predict("tanh", 30, 0.125 * factor).total_change == pytest.approx(0, abs=1e-3)
    assert factor > 1.05
    deeper = balancing_factor(FORMULAS["tanh"], stack(300, 0.125, 64))
    assert 1 < deeper < factor
    assert math.isnan(balancing_factor(FORMULAS["relu"], stack(30, 1e-6, 64)))


def test_fewer_than_two_fitted_layers_have_no_slope() -> None:
    assert math.isnan(predict("tanh", 2, 0.125).gradient_slope)
    assert math.isnan(predict("tanh", 1, 0.125).signal_slope)
    assert math.isnan(predict("tanh", 2, 0.125).gradient_slope_band[0])
    assert math.isfinite(predict("tanh", 3, 0.125).gradient_slope)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("std", [0.0, 1e-4, 8.0])
@pytest.mark.parametrize("settings", [{}, {"norm": "batch"}, {"norm": "layer"}, {"residual": True}], ids=str)
def test_a_signal_out_of_range_is_none_and_warns_of_nothing(std: float, settings: dict[str, Any]) -> None:
    prediction = predict("relu", 900, std, **settings)
    assert [len(end) for end in prediction.gradient_band] == [900, 900]
    plain_signal = prediction.log10_signal_rms[-1]
    if not settings:
        assert not math.isfinite(plain_signal)
        assert math.isnan(prediction.signal_slope)
    assert not math.isinf(prediction.gradient_slope)


def test_gradient_of_any_depth_has_a_profile() -> None:
    prediction = predict("tanh", 3000, 0.03)
    assert prediction.total_change < -1500
    assert np.isfinite(prediction.log10_gradient_rms).all()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'relu'"):
        predict("rellu", 3, 1.0)


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 0}, {"weight_std": -1.0}, {"bias_std": -1.0}], ids=str)
def test_a_number_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        predict(**{"activation": "tanh", "depth": 3, "weight_std": 1.0} | wrong)


def test_an_activation_of_ones_own_is_predicted() -> None:
    softsign = Activation(lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2)
    assert predict(softsign, 20, weight_std=0.125).gradient_slope < 0
