"""The predicted slopes against closed forms and published values, and where there is no prediction."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from vgtemplate.config import catalogue
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record
from vgtemplate.reproduce.prediction import predict_slope
from vgtemplate.reproduce.result import predict


def arm(model: dict[str, Any], **sections: dict[str, Any]) -> ArmConfig:
    return ArmConfig.model_validate({"model": {"depth": 30} | model, **sections})


def slope(**model: Any) -> float:
    predicted = predict_slope(arm(model))
    assert predicted is not None
    return predicted


def expectation(function: Any) -> float:
    """E[f(x)], x from N(0, 1)."""
    return float(integrate.quad(lambda x: function(x) * stats.norm.pdf(x), -12, 12, epsabs=1e-13)[0])


def test_sigmoid_vanishes_at_its_fixed_point() -> None:
    q = 1.0
    for _ in range(30):
        q = expectation(lambda x, q=q: 1 / (1 + math.exp(-math.sqrt(q) * x)) ** 2)
    squared = expectation(lambda x: (math.exp(-math.sqrt(q) * x) / (1 + math.exp(-math.sqrt(q) * x)) ** 2) ** 2)
    assert slope(activation="sigmoid") == pytest.approx(math.log10(math.sqrt(squared)), abs=1e-3)
    assert slope(activation="sigmoid") == pytest.approx(-0.63, abs=0.005)


@pytest.mark.parametrize(("gain", "expected"), [(0.5, -math.log10(2)), (1.0, 0.0), (2.0, math.log10(2))])
def test_relu_follows_hes_scale(gain: float, expected: float) -> None:
    assert slope(initialiser={"name": "he_normal", "gain": gain}) == pytest.approx(expected, abs=1e-9)


def test_relu_under_lecun_and_glorot_loses_half_the_square_a_layer() -> None:
    for name in ("lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform"):
        assert slope(initialiser=name) == pytest.approx(math.log10(math.sqrt(0.5)), abs=1e-9)


def test_batch_normalised_relu_explodes_as_published() -> None:
    """Yang et al. 2019, A Mean Field Theory of Batch Normalization: the factor is pi / (pi - 1)."""
    assert slope(norm="batch") == pytest.approx(0.5 * math.log10(math.pi / (math.pi - 1)), abs=1e-6)
    assert slope(norm="batch") == pytest.approx(0.083, abs=5e-4)


def test_scale_is_taken_out_by_batch_normalisation() -> None:
    for activation in ("relu", "tanh"):
        wide = slope(activation=activation, norm="batch", initialiser={"name": "normal", "std": 1.0})
        assert wide == pytest.approx(slope(activation=activation, norm="batch"), abs=1e-9)


STD = 0.11
FAN = 64
VARIANCES = {
    "glorot_normal": 1 / FAN,
    "glorot_uniform": 1 / FAN,
    "lecun_normal": 1 / FAN,
    "lecun_uniform": 1 / FAN,
    "he_normal": 2 / FAN,
    "he_uniform": 2 / FAN,
    "pytorch_default": 1 / (3 * FAN),  # uniform in +-1/sqrt(fan_in)
    "normal": STD**2,
    "orthogonal": 1 / FAN,
}


@pytest.mark.parametrize("name", catalogue.INITIALISERS)
def test_linear_network_follows_the_variance_of_every_initialiser(name: str) -> None:
    std = {"std": STD} if name == "normal" else {}
    predicted = slope(activation="identity", initialiser={"name": name, "gain": 1.5} | std)
    assert predicted == pytest.approx(math.log10(math.sqrt(FAN * VARIANCES[name]) * 1.5), abs=1e-9)


def test_unequal_widths_carry_the_gradient_by_the_fan_out() -> None:
    depth, widths = 5, [64, 128, 32]
    layers = [widths[index % 3] for index in range(depth)]
    for name, variance in (
        ("glorot_normal", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("he_normal", lambda fan_in, _: 2 / fan_in),
        ("orthogonal", lambda fan_in, fan_out: 1 / max(fan_in, fan_out)),
    ):
        profile = [0.0]  # log10 of dL/dz from the last hidden layer down to the second
        for fan_in, fan_out in reversed(list(pairwise(layers[1:]))):
            profile.append(profile[-1] + 0.5 * math.log10(fan_out * variance(fan_in, fan_out)))
        expected = float(np.polyfit(range(depth - 1), profile, 1)[0])
        predicted = slope(depth=depth, width=widths, activation="identity", initialiser=name)
        assert predicted == pytest.approx(expected, abs=1e-9), name


@pytest.mark.parametrize(
    ("model", "sections"),
    [
        ({"kind": "cnn"}, {}),
        ({"residual": True}, {}),
        ({"dropout": 0.1}, {}),
        ({"norm": "layer"}, {}),
        ({"norm": "batch", "norm_position": "after"}, {}),
        ({"bias": "normal"}, {}),
        ({"bias": "pytorch_default"}, {}),
        ({"depth": 1}, {}),
        ({"depth": 2}, {}),
        ({}, {"data": {"scaling": "unit"}}),
    ],
)
def test_what_the_theory_does_not_cover_has_no_prediction(
    model: dict[str, Any], sections: dict[str, dict[str, Any]]
) -> None:
    assert predict_slope(arm({"activation": "tanh"})) is not None
    assert predict_slope(arm({"activation": "tanh"} | model, **sections)) is None


def test_pretrained_weights_have_no_prediction() -> None:
    assert predict_slope(arm({"activation": "sigmoid"})) is not None
    assert predict_slope(arm({"activation": "sigmoid"}, pretraining={"kind": "rbm"})) is None


def test_weights_of_zero_have_no_prediction() -> None:
    assert predict_slope(arm({"initialiser": {"name": "normal", "std": 0.0}})) is None


def test_absent_biases_are_zero_biases() -> None:
    assert slope(activation="tanh", bias="none") == slope(activation="tanh")


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("name", catalogue.ACTIVATIONS)
def test_every_activation_has_a_prediction(name: str, norm: str) -> None:
    assert abs(slope(activation=name, norm=norm)) < 1


def record(config: ArmConfig) -> Record:
    return Record("k", "a", config.model_dump(mode="json"), (0,), {}, {}, 0.0, {})


def test_predictions_are_made_for_the_arms_that_have_one() -> None:
    records = {"relu": record(arm({})), "cnn": record(arm({"kind": "cnn"}))}
    assert predict(records) == {"relu": pytest.approx(0, abs=1e-9)}
