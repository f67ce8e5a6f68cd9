"""The predicted slopes against closed forms and published values, and where there is no prediction."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.prediction import (
    compare_networks,
    compare_slopes,
    describe_layers,
    predict_arm,
    predict_record,
    why_not_predicted,
)
from vgtemplate.records import Record
from vgtemplate.training.run import train_arm

SHAPE = (1, 8, 8)


def arm(model: dict[str, Any], **sections: dict[str, Any]) -> ArmConfig:
    return ArmConfig.model_validate({"model": {"depth": 30} | model, **sections})


def slope(**model: Any) -> float:
    return predict_arm(arm(model), SHAPE).gradient_slope


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


def test_relu_under_lecun_and_glorot_loses_half_the_square_per_layer() -> None:
    for name in ("lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform"):
        assert slope(initialiser=name) == pytest.approx(math.log10(math.sqrt(0.5)), abs=1e-9)


def test_batch_normalised_relu_explodes_as_published() -> None:
    """Yang et al. 2019, A Mean Field Theory of Batch Normalization: the factor is pi / (pi - 1)."""
    assert slope(norm="batch") == pytest.approx(0.5 * math.log10(math.pi / (math.pi - 1)), abs=1e-6)
    assert slope(norm="batch") == pytest.approx(0.083, abs=5e-4)


def test_scale_is_taken_out_by_batch_normalisation() -> None:
    for activation in ("relu", "tanh"):
        wide = slope(activation=activation, norm="batch", initialiser={"name": "normal", "std": 1.0})
        assert wide == pytest.approx(slope(activation=activation, norm="batch"), abs=1e-5)


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


@pytest.mark.parametrize("name", VARIANCES)
def test_linear_network_follows_the_variance_of_each_initialiser(name: str) -> None:
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
    ("model", "sections", "reason"),
    [
        ({"activation": "sigmoid"}, {"pretraining": {"kind": "rbm"}}, "pretrained weights"),
        ({"kind": "resnet", "depth": 20, "residual": True, "norm": "layer"}, {}, "after the shortcut"),
        ({"norm": "batch", "norm_position": "after", "bias": "normal"}, {}, "random biases"),
        ({"norm": "batch", "norm_noise": True}, {}, "noise that is drawn anew"),
    ],
)
def test_what_the_theory_does_not_cover_is_refused_with_the_reason(
    model: dict[str, Any], sections: dict[str, dict[str, Any]], reason: str
) -> None:
    config = arm(model, **sections)
    assert reason in (why_not_predicted(config) or "")
    with pytest.raises(UserError, match=reason):
        predict_arm(config, SHAPE)


def test_gamma_and_beta_that_are_missing_change_nothing_before_the_first_step() -> None:
    settings: dict[str, Any] = {"depth": 6, "norm": "batch", "activation": "relu"}
    assert slope(**settings, norm_affine=False) == slope(**settings)


KINDS: dict[str, dict[str, Any]] = {
    "mlp": {"width": [60, 90]},
    "residual": {"width": 60, "residual": True, "bias": "pytorch_default"},
    "normalised": {"width": 60, "norm": "layer", "norm_position": "after", "bias": "normal", "dropout": 0.2},
    "cnn": {"kind": "cnn", "width": [16, 24], "num_stages": 3, "bias": "pytorch_default"},
    "residual cnn": {"kind": "cnn", "width": 24, "num_stages": 2, "residual": True, "norm": "batch"},
    "autoencoder": {"kind": "cnn", "width": 24, "output": "image"},
    "plain resnet": {"kind": "resnet", "depth": 14, "width": 16, "norm": "batch"},
}


@pytest.mark.parametrize("initialiser", ["glorot_uniform", "he_normal", "pytorch_default", "orthogonal"])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_those_of_the_network_that_is_trained(kind: str, initialiser: str) -> None:
    config = ModelConfig.model_validate({"depth": 6, "initialiser": {"name": initialiser, "gain": 1.3}} | KINDS[kind])
    shape = (3, 16, 16)
    network = build_model(config, shape, 10, list(range(8)))
    described = describe_layers(config, shape)
    built = list(network.hidden_layers)
    assert len(described) == len(built) == len(config.widths())
    x = torch.randn(8, 2, *shape)
    for layer, real in zip(described, built, strict=True):
        weight = real.linear.weight
        assert float(weight.std()) == pytest.approx(layer.weight_std, rel=0.08)
        fan_in = layer.in_width * layer.kernel**2
        is_matrix = kind in ("mlp", "residual", "normalised")
        assert weight.shape[1:] == (
            (fan_in, layer.width) if is_matrix else (layer.width, layer.in_width, layer.kernel, layer.kernel)
        )
        assert layer.residual == getattr(real, "residual", False)
        assert layer.dropout == (real.dropout.p if getattr(real, "dropout", None) is not None else 0)
        if layer.bias_std and real.linear.bias is not None:
            assert float(real.linear.bias.std()) == pytest.approx(layer.bias_std, rel=0.25)
        elif real.linear.bias is not None:
            assert not real.linear.bias.any()
        if not is_matrix:
            before = x.shape[-1]
            x = real(x)
            assert x.shape[-1] == -(-before // layer.stride)


def test_weights_of_zero_have_no_slope() -> None:
    assert math.isnan(slope(initialiser={"name": "normal", "std": 0.0}))


def test_absent_biases_are_zero_biases() -> None:
    assert slope(activation="tanh", bias="none") == slope(activation="tanh")


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("name", catalogue.ACTIVATIONS)
def test_every_activation_has_a_prediction(name: str, norm: str) -> None:
    assert abs(slope(activation=name, norm=norm)) < 1


def record(config: ArmConfig, profile: list[float], **series: np.ndarray) -> Record:
    """A record of two seeds whose gradient's log10 falls along a profile, the second a little faster."""
    logs = np.stack([np.array(profile), 1.02 * np.array(profile)])
    return Record(
        "k",
        "a",
        config.model_dump(mode="json"),
        (0, 1),
        {"input_shape": list(SHAPE)},
        {},
        0.0,
        {"gradient_rms": 10 ** logs[:, None, :]} | series,
    )


def test_comparison_is_of_the_median_over_the_seeds() -> None:
    config = arm({"depth": 4, "initialiser": {"name": "he_normal", "gain": 0.5}})
    step = math.log10(2)
    compared = compare_slopes(record(config, [-3 * step, -2 * step, -step, 0.0]))
    assert compared is not None
    assert compared.predicted == pytest.approx(-step)
    assert compared.measured == (pytest.approx(-step), pytest.approx(-1.02 * step))
    assert compared.error == pytest.approx(-0.01 * step)
    assert compared.reason == ""
    assert compared.is_wide_and_plain
    assert compared.to_json()["median"] == pytest.approx(-1.01 * step)


def test_of_two_layers_the_step_between_them_is_compared() -> None:
    config = arm({"depth": 2, "initialiser": {"name": "he_normal", "gain": 0.5}})
    compared = compare_slopes(record(config, [-0.25, 0.0]))
    assert compared is not None
    assert compared.predicted == pytest.approx(-math.log10(2))
    assert compared.measured == (pytest.approx(-0.25), pytest.approx(-0.255))
    assert compared.low < compared.predicted < compared.high


def test_an_error_has_a_reason() -> None:
    config = arm({"depth": 4, "width": 8})
    inside, outside = (compare_slopes(record(config, [at * size for at in (3, 2, 1, 0)])) for size in (0.05, 0.9))
    assert inside is not None
    assert outside is not None
    assert inside.reason == "inside the band of networks of width 8"
    assert outside.reason == "outside the band of its width: not explained"
    assert not inside.is_wide_and_plain


def test_arms_without_a_word_or_a_slope_are_not_compared() -> None:
    assert compare_slopes(record(arm({"depth": 1}), [0.0])) is None
    pretrained = arm({"activation": "sigmoid", "depth": 4}, pretraining={"kind": "rbm"})
    assert compare_slopes(record(pretrained, [0.3, 0.2, 0.1, 0.0])) is None
    silent = record(arm({"depth": 4}), [0.3, 0.2, 0.1, 0.0])
    assert compare_slopes(Record("k", "a", silent.configuration, (0,), silent.dataset, {}, 0.0, {})) is None


def test_seeds_of_an_arm_are_one_network_in_however_many_records_they_are() -> None:
    fast, slow = (arm({"depth": 4}, optimiser={"lr": rate}) for rate in (0.1, 0.01))
    first, twin = record(fast, [0.3, 0.2, 0.1, 0.0]), record(slow, [0.3, 0.2, 0.1, 0.0])
    later, odd = replace(record(fast, [0.6, 0.4, 0.2, 0.0]), seeds=(2, 3)), record(fast, [0.9, 0.6, 0.3, 0.0])
    silent = replace(first, series={})
    records = {"first": first, "later": later, "twin": twin, "odd": odd, "silent": silent}
    for order in (list(records), ["twin", "later", "silent", "first", "odd"]):
        found = compare_networks(([name], records[name]) for name in order)
        assert [sorted(each.names) for each in found.compared] == [["odd"], ["first", "later", "twin"]]
        assert found.compared[1].comparison.measured == pytest.approx((0.1, 0.102, 0.2, 0.204))
        assert found.left_out == {"no gradient was probed": ["silent"]}
        assert found.summary.endswith(
            "of the plain ones of width 64 and more, 0 of 2. Left out: 1: no gradient was probed."
        )


def test_recorded_images_are_what_is_sent_in() -> None:
    config = arm({"activation": "tanh", "depth": 4})
    dim = np.full((2, 1, 1), 1e-4)
    with_images, without = (
        predict_record(record(config, [0.0] * 4, **series)) for series in ({"input_mean_square": dim}, {})
    )
    assert with_images is not None
    assert without is not None
    assert with_images.q[0] == pytest.approx(1e-4)
    assert without.q[0] == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {"activation": "tanh"},
        {"activation": "sigmoid", "bias": "normal"},
        {"activation": "relu", "norm": "batch"},
        {"activation": "relu", "norm": "layer"},
        {"activation": "selu", "residual": True},
        {"activation": "relu", "dropout": 0.2},
        {"activation": "relu", "kind": "cnn", "num_stages": 2, "width": 48},
        {"activation": "relu", "kind": "resnet", "width": 24, "norm": "batch", "depth": 20},
        {"activation": "relu", "kind": "resnet", "width": 24, "norm": "batch", "depth": 20, "residual": True},
    ],
    ids=str,
)
def test_trained_arms_begin_as_predicted(model: dict[str, Any], tmp_path: Any) -> None:
    sections: dict[str, dict[str, Any]] = {
        "data": {"dataset": "digits", "num_train": 400, "scaling": "unit" if model.get("bias") else "standardise"},
        "training": {"steps": 1, "precision": "64-true", "evaluate": False},
    }
    if "kind" in model:
        # Whose every image has many places to look at.
        sections["data"] |= {"batch_size": 50}
        sections["probes"] = {"num_images": 100}
    config = arm({"depth": 12, "width": 128} | model, **sections)
    found, _ = train_arm("arm", config, range(8), tmp_path)
    compared = compare_slopes(found)
    assert compared is not None
    assert compared.error == pytest.approx(0, abs=0.025 if config.model.kind != "mlp" else 0.01), compared
    assert found.series["input_mean_square"].shape == ((8, 1, 1) if config.model.kind == "mlp" else (8, 8, 8))
