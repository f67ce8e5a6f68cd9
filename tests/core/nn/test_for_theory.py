"""What the theory is told of torch's functions, against its own formulas; and functions that have none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn import activations, initialisers
from vgtemplate.nn.for_theory import measure_weight_std, torch_function
from vgtemplate.prediction import describe_layers, theory_activation
from vgtemplate.theory.callables import as_activation
from vgtemplate.theory.gaussian import gaussian_expectation
from vgtemplate.theory.meanfield import moments
from vgtemplate.theory.numpy_activations import FORMULAS

VARIANCES = np.array([1e-4, 0.3, 1.0, 4.0, 100.0])


@pytest.fixture
def declare() -> Iterator[Callable[..., str]]:
    """Adds an activation, as a decorated function would, until the end of the test; returns its name."""
    added: list[str] = []

    def add(function: Callable[[Tensor], Tensor]) -> str:
        name = f"activation_of_the_test_{len(added)}"
        activations.activation("this test", 1.0, "he_normal", name=name)(function)
        added.append(name)
        return name

    yield add
    for name in added:
        del activations.FUNCTIONS[name], activations.ACTIVATIONS._added[name]


@pytest.mark.parametrize("name", FORMULAS)
def test_expectations_are_those_of_the_theorys_own_formula(name: str) -> None:
    ours, theirs = moments(as_activation(torch_function(name)), VARIANCES), moments(FORMULAS[name], VARIANCES)
    for expectation in ("mean", "mean_square", "slope_square", "slope_fourth"):
        found, expected = getattr(ours, expectation), getattr(theirs, expectation)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12, err_msg=expectation)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_activation_of_the_catalogue_has_a_kink_but_at_0(name: str) -> None:
    assert as_activation(torch_function(name)).kinks == (0.0,)


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (F.hardtanh, {-1, 1}),
        (F.hardswish, {-3, 3}),
        (F.hardsigmoid, {-3, 3}),
        (F.relu6, {6}),
        (F.softshrink, {-0.5, 0.5}),
        (lambda z: (z - 1 / 3).abs(), {1 / 3}),
        (F.mish, set()),
        (lambda z: torch.tanh(4 * z), set()),
    ],
)
def test_jumps_of_the_derivative_are_found_and_steep_parts_are_none(
    function: Callable[[Tensor], Tensor], kinks: set[float], declare: Callable[..., str]
) -> None:
    assert as_activation(torch_function(declare(function))).kinks == pytest.approx((0.0, *sorted(kinks)), abs=1e-11)


def test_expectation_over_kinks_off_the_middle_is_exact(declare: Callable[..., str]) -> None:
    found = theory_activation(declare(F.hardtanh))
    for q in VARIANCES:
        inside = math.erf(1 / math.sqrt(2 * q))
        share = gaussian_expectation(lambda z: found.derivative(z) ** 2, q, found.kinks)
        assert share == pytest.approx(inside, rel=1e-9)


def test_function_that_works_in_place_leaves_its_argument_alone(declare: Callable[..., str]) -> None:
    z = np.array([-1.0, 2.0])
    found = as_activation(torch_function(declare(torch.relu_)))
    function, derivative = found.function, found.derivative
    assert function(z).tolist() == [0, 2]
    assert derivative(z).tolist() == [0, 1]
    assert z.tolist() == [-1, 2]


def test_unknown_activation_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="'relu'"):
        theory_activation("rellu")


@pytest.mark.parametrize("name", ["he_normal", "glorot_uniform", "orthogonal"])
@pytest.mark.parametrize("shape", [(784, 64), (64, 16, 3, 3)])
def test_measured_deviation_is_the_formulas(name: str, shape: tuple[int, ...]) -> None:
    fan_in, fan_out = shape if len(shape) == 2 else (16 * 9, 64 * 9)
    expected = {
        "he_normal": math.sqrt(2 / fan_in),
        "glorot_uniform": math.sqrt(2 / (fan_in + fan_out)),
        "orthogonal": 1 / math.sqrt(max(shape[0], math.prod(shape[1:]))),
    }[name]
    assert measure_weight_std(name, shape, fan_in, fan_out) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_initialiser_without_a_formula_is_predicted_as_it_draws(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """U(-1 / fan_in, 1 / fan_in) has the deviation 1 / (sqrt(3) fan_in); it is drawn in the shape of the network."""
    shapes = set()

    def timid(shape: tuple[int, ...], fans: initialisers.Fans, generator: torch.Generator) -> Tensor:
        shapes.add(shape)
        return (2 * torch.rand(shape, generator=generator) - 1) / fans.fan_in

    name = f"timid_{kind}"
    monkeypatch.setitem(initialisers.FUNCTIONS, name, timid)
    monkeypatch.setitem(initialisers.INITIALISERS._added, name, initialisers.INITIALISERS["he_normal"])
    model = {"kind": kind, "depth": 2, "width": 20, "initialiser": {"name": name, "gain": 3.0}}
    config = ArmConfig.model_validate({"model": model})
    first, second = describe_layers(config.model, (3, 10, 10))
    fan_ins = (300, 20) if kind == "mlp" else (27, 180)
    for layer, fan_in in zip((first, second), fan_ins, strict=True):
        assert layer.weight_std == pytest.approx(3 / math.sqrt(3) / fan_in, rel=2e-3)
    assert shapes == ({(300, 20), (20, 20)} if kind == "mlp" else {(20, 3, 3, 3), (20, 20, 3, 3)})
