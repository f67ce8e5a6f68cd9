"""The exact claims: they hold, their quantities are what they say, and every part of them can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vgtemplate.lab.catalogue import CHECKS
from vgtemplate.lab.checks import activations as slopes
from vgtemplate.lab.checks import batchnorm, networks
from vgtemplate.lab.checks import initialisers as weights
from vgtemplate.lab.checks.registry import load_check
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claim
from vgtemplate.lab.threshold import clears
from vgtemplate.nn import activations, blocks, initialisers, norm

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments" / "claims"

REPORTED_ONLY = {"uniform_ks_p", "class_is_normal", "sigmoid_at_3", "sigmoid_at_5", "tanh_at_3"}


@cache
def load(check: str) -> ClaimConfig:
    return load_claim(EXPERIMENTS / f"{check.replace('_', '-')}.yaml")


EXACT = [check for check in CHECKS if load(check).kind == "exact"]
OURS = [check for check in EXACT if not CHECKS[check].needs]
"""Those of this project's own layers, which hold; for the others see test_keras_default.py and test_doctor.py."""


@cache
def measured(check: str) -> dict[str, float]:
    return dict(load_check(check)())  # type: ignore[arg-type]


def failing_parts(check: str, quantities: dict[str, float]) -> set[str]:
    return {part.metric for part in load(check).parts if not clears(part.threshold, quantities[part.metric])}


@pytest.mark.parametrize("check", OURS)
def test_check_returns_the_quantities_of_its_row_as_floats(check: str) -> None:
    assert list(measured(check)) == CHECKS[check].quantities.split()
    assert all(type(value) is float for value in measured(check).values())


@pytest.mark.parametrize("check", EXACT)
def test_claim_of_the_check_judges_each_quantity_once(check: str) -> None:
    claim = load(check)
    assert (claim.kind, claim.check) == ("exact", check)
    judged = [part.metric for part in claim.parts]
    assert sorted(judged) == sorted(set(CHECKS[check].quantities.split()) - REPORTED_ONLY)
    assert all(part.label for part in claim.parts)


@pytest.mark.parametrize("check", OURS)
def test_claim_holds(check: str) -> None:
    assert failing_parts(check, measured(check)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("check", OURS)
def test_check_repeats_bit_for_bit_and_leaves_global_generators_alone(check: str) -> None:
    first = measured(check)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert load_check(check)() == first
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize(
    ("check", "quantity", "threshold"),
    [
        ("saturation_kills_gradient", "sigmoid_beyond_7", "< 0.01"),
        ("saturation_kills_gradient", "tanh_beyond_4", "< 0.01"),
        ("chain_rule_product", "error_at_depth_4", "< 1e-10"),
        ("chain_rule_product", "error_at_depth_50", "< 1e-10"),
        *(("residual_gradient_identity", f"{name}_error", "< 1e-8") for name in ("relu", "tanh", "sigmoid")),
        *(
            ("init_formulas", f"{family}_{shape}_{quantity}", threshold)
            for family in ("glorot", "lecun", "he")
            for shape in ("normal", "uniform")
            for quantity, threshold in (("variance_error", "< 0.01"), ("ks_p", "> 0.001"))
        ),
        ("rrelu_slope", "training_ks_p", "> 0.001"),
        *(("glorot_needs_equal_fans", f"equal_{way}_error", "< 0.01") for way in ("forward", "backward")),
        *(("glorot_needs_equal_fans", f"{name}_larger_error", "> 0.1") for name in ("wide", "narrow")),
        ("keras_default_initialiser", "normal_ks_p", "> 0.001"),
        ("dead_unit_no_gradient", "relu_largest_gradient", "<= 0"),
    ],
)
def test_threshold_is_the_registers(check: str, quantity: str, threshold: str) -> None:
    assert {part.metric: part.threshold for part in load(check).parts}[quantity] == threshold


Patch = Callable[[pytest.MonkeyPatch], None]
Function = Callable[[torch.Tensor], torch.Tensor]
# The check that must notice, what is wrong, how it is made so, and the parts that must fail.
Sabotage = tuple[str, str, Patch, set[str]]


def replace_function(name: str, function: object) -> Patch:
    return lambda patch: patch.setitem(activations.FUNCTIONS, name, function)


def replace(target: object, name: str, value: object) -> Patch:
    return lambda patch: patch.setattr(target, name, value)


def bell_sabotages() -> Iterator[Sabotage]:
    for name in ("sigmoid", "tanh"):
        true = activations.FUNCTIONS[name]
        width = 2 if name == "sigmoid" else 1
        altered: list[tuple[str, Function, set[str]]] = [
            ("steeper", lambda z, f=true: f(1.01 * z), {"excess", "error_at_zero", "closed_form_error"}),
            ("shifted", lambda z, f=true: f(z - 0.01), {"error_at_zero", "farthest_maximum", "closed_form_error"}),
            ("hard", lambda z, w=width: F.hardtanh(z, -w, w) / w, {"smallest", "farthest_maximum"}),
            ("wavy", lambda z, f=true: f(z) + 1e-3 * torch.sin(z), {"largest_rise", "smallest"}),
            ("never flat", lambda z, f=true: f(z) + 1e-9 * z, {"tail", "excess"}),
        ]
        for what, function, parts in altered:
            failing = {f"{name}_{part}" for part in parts}
            yield "derivative_bounds", f"{what} {name}", replace_function(name, function), failing
        wavy = replace_function(name, lambda z, f=true: f(z) + 1e-3 * torch.sin(z))
        yield "saturation_kills_gradient", f"wavy {name}", wavy, {f"{name}_largest_rise", "closed_form_error"}
    wide = replace_function("sigmoid", lambda z: torch.sigmoid(z / 2))
    yield "saturation_kills_gradient", "wide sigmoid", wide, {"sigmoid_beyond_7", "sigmoid_at_10"}
    wide = replace_function("tanh", lambda z: torch.tanh(z / 4))
    yield "saturation_kills_gradient", "wide tanh", wide, {"tanh_beyond_4", "tanh_at_5", "tanh_at_10"}


def rectifier_sabotages() -> Iterator[Sabotage]:
    half = replace_function("relu", lambda z: torch.relu(z) / 2)
    yield "derivative_bounds", "ReLU of slope 1/2", half, {"relu_error"}
    one_at_zero = replace_function("relu", lambda z: torch.where(z >= 0, z, 0 * z))
    yield "derivative_bounds", "ReLU of slope 1 at 0", one_at_zero, {"relu_error"}
    softer = replace_function("leaky_relu", lambda z: F.leaky_relu(z, 0.0100001))
    yield "activation_formulas", "Leaky ReLU of another slope", softer, {"leaky_error"}
    alpha = replace_function("elu", lambda z: F.elu(z, alpha=1.001))
    parts = {"elu_error", "elu_derivative_error", "elu_derivative_jump"}
    yield "activation_formulas", "ELU with alpha 1.001", alpha, parts
    broken = replace_function("elu", lambda z: F.elu(z) + 1e-9 * (z > 0))
    yield "activation_formulas", "ELU with a step at 0", broken, {"elu_jump", "elu_error"}
    rounded = replace_function("selu", lambda z: 1.0507 * F.elu(z, alpha=1.67326))
    parts = {"selu_error", "selu_scale_error", "selu_alpha_error", "selu_fixed_point_error"}
    yield "activation_formulas", "SELU of rounded constants", rounded, parts


def scaled_gradient(z: torch.Tensor) -> torch.Tensor:
    y = torch.sigmoid(z)
    return y.detach() + (y - y.detach()) * (1 + 1e-9)


def network_sabotages() -> Iterator[Sabotage]:
    parts = {"error_at_depth_4", "error_at_depth_50"}
    yield "chain_rule_product", "gradient 1e-9 too large", replace_function("sigmoid", scaled_gradient), parts
    parts = {"relu_error", "tanh_error", "sigmoid_error"}
    weak = replace(blocks.HiddenLayer, "shortcut", lambda _, x: (1 - 1e-7) * x)
    yield "residual_gradient_identity", "shortcut of 1 - 1e-7", weak, parts
    forward = blocks.HiddenLayer.forward
    rectified = replace(blocks.HiddenLayer, "forward", lambda layer, x: torch.relu(forward(layer, x)))
    yield "residual_gradient_identity", "ReLU after the addition", rectified, {"tanh_error"}
    empty = replace_function("tanh", lambda z: 0 * z)
    yield "residual_gradient_identity", "empty branches", empty, {"smallest_branch_share"}

    breathing = replace_function("relu", lambda z: F.leaky_relu(z, 1e-12))
    parts = {"relu_largest_gradient", "relu_changed_weights"}
    yield "dead_unit_no_gradient", "ReLU that leaks 1e-12", breathing, parts
    silence = networks._silence
    near = replace(networks, "_silence", lambda layers, x, margin: silence(layers, x, 1e-9))
    yield "dead_unit_no_gradient", "deeper unit near 0, which lives again", near, {"relu_largest_input"}
    flat = replace_function("relu", lambda z: 0 * z)
    yield "dead_unit_no_gradient", "every unit dead", flat, {"relu_smallest_gradient_of_others"}
    sealed = replace_function("leaky_relu", torch.relu)
    parts = {"leaky_smallest_gradient", "leaky_unchanged_weights"}
    yield "dead_unit_no_gradient", "Leaky ReLU that does not leak", sealed, parts


def initialiser_sabotages() -> Iterator[Sabotage]:
    true = dict(initialisers.FUNCTIONS)
    names = [f"{family}_{shape}" for family in ("glorot", "lecun", "he") for shape in ("normal", "uniform")]

    def off(patch: pytest.MonkeyPatch) -> None:
        for name in names:

            def draw(shape, fans, generator, name=name):
                weights = true[name](shape, fans, generator)
                return 1.01 * weights + 0.02 * weights.std()

            patch.setitem(initialisers.FUNCTIONS, name, draw)

    parts = {f"{name}_{quantity}" for name in names for quantity in ("variance_error", "offset", "ks_p")}
    reach = {f"{name}_reach" for name in names if name.endswith("uniform")}
    yield "init_formulas", "1 % too wide and 2 % off centre", off, parts | reach

    def swapped(patch: pytest.MonkeyPatch) -> None:
        for name in names:

            def draw(shape, fans, generator, name=name):
                return true[name](shape, initialisers.Fans(fans.fan_out, fans.fan_in), generator)

            patch.setitem(initialisers.FUNCTIONS, name, draw)

    parts = {f"{name}_{quantity}" for name in names[2:] for quantity in ("variance_error", "ks_p")}
    yield "init_formulas", "fans swapped", swapped, parts

    def of_one_kind(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(initialisers.FUNCTIONS, "lecun_normal", lambda *a: true["lecun_normal"](*a) * (1 + 1e-6))

    yield "init_formulas", "LeCun 1e-6 wider than Glorot", of_one_kind, {"square_difference"}


def fan_sabotages() -> Iterator[Sabotage]:
    true = initialisers.FUNCTIONS["glorot_normal"]
    errors = {"equal_forward_error", "equal_backward_error"}
    wider = {"glorot_normal": lambda *a: true(*a) * 1.01}
    yield (
        "glorot_needs_equal_fans",
        "1 % too wide",
        replace(initialisers, "FUNCTIONS", initialisers.FUNCTIONS | wider),
        errors,
    )
    unequal = {f"{name}_{what}" for name in ("wide", "narrow") for what in ("asked_difference", "larger_error")}
    fans = {"equal": (64, 128), "wide": (96, 96), "narrow": (90, 96)}
    other = replace(weights, "_FANS", fans)
    yield (
        "glorot_needs_equal_fans",
        "equal fans taken for unequal ones",
        other,
        errors | unequal | {"equal_asked_difference"},
    )


class FiveVectors(norm.BatchNorm):
    def __init__(self, num_replicas: int, num_features: int) -> None:
        super().__init__(num_replicas, num_features)
        self.register_buffer("fifth", torch.zeros(num_replicas, num_features))


class FixedGamma(norm.BatchNorm):
    def __init__(self, num_replicas: int, num_features: int) -> None:
        super().__init__(num_replicas, num_features)
        self.weight.requires_grad_(False)


class AlwaysTraining(norm.BatchNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().train()(x) if not self.training else super().forward(x)


class NeverTraining(norm.BatchNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().eval()(x) if self.training else super().forward(x)


class DriftingVariance(norm.BatchNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.running_var.mul_(1 + 1e-6)
        return super().forward(x)


def normalisation_sabotages() -> Iterator[Sabotage]:
    check = "batchnorm_moments"
    yield check, "a fifth vector", replace(batchnorm, "BatchNorm", FiveVectors), {"vectors"}
    yield check, "gamma not learned", replace(batchnorm, "BatchNorm", FixedGamma), {"learned_vectors"}
    parts = {"estimated_vectors", "estimate_formula_error", "mean_estimate_error", "deviation_estimate_error"}
    yield check, "estimates never updated", replace(norm, "MOMENTUM", 0.0), parts
    yield (
        check,
        "estimates slightly wrong",
        replace(batchnorm, "BatchNorm", DriftingVariance),
        {"estimate_formula_error"},
    )
    yield check, "epsilon 1e-2", replace(norm, "EPS", 1e-2), {"deviation_error", "test_formula_error"}
    parts = {"test_formula_error", "test_estimate_change", "test_row_difference"}
    yield check, "batch moments at test", replace(batchnorm, "BatchNorm", AlwaysTraining), parts
    parts = {"training_row_difference", "mean_error", "deviation_error"}
    yield check, "estimates in training", replace(batchnorm, "BatchNorm", NeverTraining), parts


def rrelu_always_training(layer: activations.RReLU, z: torch.Tensor) -> torch.Tensor:
    low, high = activations.RRELU_RANGE
    return torch.where(z >= 0, z, z * (low + (high - low) * layer.noise.uniform(z)))


class FrozenPReLU(activations.PReLU):
    def __init__(self, seeds: Sequence[int], layer: int, width: int = 1) -> None:
        super().__init__(seeds, layer, width)
        del self.slope
        self.register_buffer("slope", torch.full((len(seeds),), activations.PRELU_START))


def slope_sabotages() -> Iterator[Sabotage]:
    check = "rrelu_slope"
    parts = {"training_ks_p", "training_outside", "evaluation_error"}
    yield check, "range [0.12, 1/3]", replace(activations, "RRELU_RANGE", (0.12, 1 / 3)), parts
    yield check, "one draw for all steps", replace(slopes, "set_step", lambda *_: None), {"repeated_share"}
    random = replace(activations.RReLU, "forward", rrelu_always_training)
    yield check, "random at test", random, {"evaluation_spread", "evaluation_error"}
    both_sides = replace(activations.RReLU, "forward", lambda layer, z: z * (1 / 8 + layer.noise.uniform(z) * 5 / 24))
    yield check, "positive side too", both_sides, {"positive_error"}
    parts = {"slopes_a_layer", "smallest_gradient", "gradient_error", "update_error", "smallest_move"}
    yield "prelu_slope_learned", "slope not a parameter", replace_function("prelu", FrozenPReLU), parts


SABOTAGES = [
    *bell_sabotages(),
    *rectifier_sabotages(),
    *network_sabotages(),
    *initialiser_sabotages(),
    *fan_sabotages(),
    *normalisation_sabotages(),
    *slope_sabotages(),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "sabotage", "parts"),
    [pytest.param(check, sabotage, parts, id=f"{check}: {what}") for check, what, sabotage, parts in SABOTAGES],
)
def test_wrong_implementation_fails_the_part(
    check: str, sabotage: Patch, parts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    assert parts <= failing_parts(check, load_check(check)())


@pytest.mark.parametrize("check", OURS)
def test_every_part_is_failed_by_some_wrong_implementation(check: str) -> None:
    noticed = set().union(*(parts for name, _, _, parts in SABOTAGES if name == check))
    assert {part.metric for part in load(check).parts} == noticed
