"""The catalogue's rows against the functions behind them, and the claims' YAML against the register."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from vgtemplate.claims import effects, exact, metrics

from vgtemplate.callbacks import layers
from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.sources import LOADERS
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.nn import activations, initialisers

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
TABLES: dict[str, Mapping[str, object]] = {
    name: getattr(catalogue, name) for name in dir(catalogue) if name.isupper() and not name.startswith("_")
}

A, B, C, D = "bn-relu", "slow-training", "unstable-gradients", "causes-cures"
REGISTER: dict[str, tuple[str, set[str], set[str]]] = {
    "derivative-bounds": ("exact", {A, C, D}, set()),
    "saturation-kills-gradient": ("exact", {A}, set()),
    "chain-rule-product": ("exact", {C}, {"< 1e-10"}),
    "residual-gradient-identity": ("exact", {D}, set()),
    "init-formulas": ("exact", {B}, set()),
    "batchnorm-moments": ("exact", {B, C}, set()),
    "rrelu-slope": ("exact", {B}, set()),
    "prelu-slope-learned": ("exact", {B}, set()),
    "dead-unit-no-gradient": ("exact", {B, C, D}, set()),
    "activation-formulas": ("exact", {B, C, D}, set()),
    "sigmoid-vanishes": ("initial", {A, B, C, D}, {"< -0.3", "> 0.98"}),
    "tanh-beats-sigmoid": ("initial", {D}, {"> 0.2", "< 0"}),
    "two-layer-speed-gap": ("initial", {D}, {"> 1"}),
    "four-layer-speed-gap": ("initial", {C, D}, {"between 1.5 and 2.5"}),
    "growth-threshold": ("initial", {C, D}, {"< 0.03", ">= 1", "> 0.95"}),
    "large-init-explodes": ("initial", {D}, {"> 0.1"}),
    "sigmoid-rarely-explodes": ("initial", {C}, {"< -0.03"}),
    "relu-keeps-gradient": ("initial", {A, B, C, D}, {"<= 0.03"}),
    "relu-cannot-explode": ("initial", {C, D}, {"<= 0.03"}),
    "glorot-preserves-variance": ("initial", {B}, {"<= 0.03", "> 0.1"}),
    "he-suits-relu": ("initial", {B}, {"<= 0.03", "> 0"}),
    "glorot-suits-saturating": ("initial", {B}, {"> 0"}),
    "selu-self-normalises": ("initial", {B}, set()),
    "selu-conditions": ("initial", {B}, {"> 1"}),
    "batchnorm-unsaturates": ("initial", {A}, {"> 0.3", "< 0.3"}),
    "batchnorm-sigmoid-insufficient": ("initial", {A}, {"< -0.03"}),
    "batchnorm-stabilises": ("initial", {B, C}, {"<= 0.03"}),
    "residual-carries-gradient": ("initial", {C, D}, {"<= 0.03", "< -0.3"}),
    "relu-equal-speed": ("initial", {D}, {"< 5", "> 100"}),
    "relu-not-centred": ("initial", {D}, {"> 0.5", "> 0"}),
    "deep-sigmoid-stalls": ("training", {A, B, D}, {"< 0.001", "<= 0.20", ">= 0.80"}),
    "late-layers-learn": ("training", {D}, {"> 1"}),
    "depth-slows-sigmoid": ("training", {B}, {"> 0"}),
    "relu-replaces-sigmoid": ("training", {A, B, C, D}, {">= 0.80"}),
    "dying-relu": ("training", {B, C, D}, {"> 0.1", "< 0.01"}),
    "small-rate-saves-relu": ("training", {D}, {"< 0.5"}),
    "leaky-beats-relu": ("training", {B, C, D}, {"> 0"}),
    "elu-converges-faster": ("training", {B}, {"> 1"}),
    "elu-costs-more": ("timing", {C, D}, {"> 1.05"}),
    "selu-wins-dense": ("training", {B}, {"> 0.01"}),
    "prelu-overfits-small": ("training", {B}, {"> 0.01"}),
    "batchnorm-rescues-sigmoid": ("training", {B, C}, {">= 0.80"}),
    "batchnorm-forgives-init": ("training", {B}, {"> 0.2", "< 0.1"}),
    "batchnorm-either-side": ("training", {B}, {">= 0.80", "< 0.03"}),
    "batchnorm-regularises": ("training", {B}, {"> -0.01"}),
    "batchnorm-less-shift": ("training", {A, C}, {"< 1"}),
    "batchnorm-decouples": ("training", {A}, {"< 1"}),
    "batchnorm-not-for-images": ("training", {C}, {"< 0", "> 0"}),
    "clipping-stops-explosion": ("training", {D}, {"<= 0.20", "> 0.5", "<= 0"}),
    "l2-stops-explosion": ("training", {C, D}, {">= 0.5"}),
    "residual-trains-deep": ("training", {C, D}, {">= 0.80", "<= 0.20"}),
    "residual-thousand": ("training", {D}, {"> 0.5", "<= 0"}),
    "depth-degrades-plain": ("training", {D}, {"> 0", "< 0"}),
    "depth-helps": ("training", {D}, {"> 0"}),
    "pretraining-rescues-sigmoid": ("training", {D}, {"<= 0.20", ">= 0.80"}),
}
"""Kind, articles and thresholds, copied from the register; no thresholds: the line names no number."""
MEASURED_BY = {
    "validation_loss": lambda config: config.data.num_validation > 0,
    "psnr": lambda config: config.training.evaluate and config.model.output == "image",
    "test_accuracy": lambda config: config.training.evaluate and config.model.output == "logits",
    "generalisation_gap": lambda config: config.training.evaluate and config.training.evaluate_train,
    "training_error": lambda config: config.training.evaluate_train,
    "test_error": lambda config: config.training.evaluate and config.model.output == "logits",
    "steps_to_loss": lambda config: config.training.stop_loss is not None,
    "input_shift": lambda config: config.probes.shift,
    "gradient_change": lambda config: config.probes.gradient_change,
    "final_loss": lambda config: True,
    "diverged": lambda config: True,
}
"""What an arm needs for a metric; every other metric needs its probes."""


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    return load_claims(EXPERIMENTS)


def test_rows_and_functions_have_the_same_names() -> None:
    assert set(metrics.FUNCTIONS) == set(catalogue.METRICS)
    assert set(effects.FUNCTIONS) == set(catalogue.COMBINATIONS)
    assert set(exact.CHECKS_FUNCTIONS) == set(catalogue.CHECKS)
    assert set(LOADERS) == set(catalogue.DATASETS)
    assert {*activations.FUNCTIONS, *activations.STATEFUL} == set(catalogue.ACTIVATIONS)
    assert set(initialisers.FUNCTIONS) == set(catalogue.INITIALISERS)


@pytest.mark.parametrize("name", catalogue.METRICS)
def test_options_of_a_metric_are_its_functions_arguments(name: str) -> None:
    record, *options = inspect.signature(metrics.FUNCTIONS[name]).parameters.values()
    assert record.name == "record"
    assert tuple(option.name for option in options) == catalogue.METRICS[name].options
    assert all(option.default is not inspect.Parameter.empty for option in options)


@pytest.mark.parametrize("name", catalogue.COMBINATIONS)
def test_combination_works_from_its_least_number_of_arms(name: str) -> None:
    values = [np.full(3, float(index)) for index in range(catalogue.COMBINATIONS[name].arms)]
    assert effects.FUNCTIONS[name](values).shape == (3,)


@pytest.mark.parametrize("name", catalogue.ACTIVATIONS)
def test_largest_derivative_is_the_functions(name: str) -> None:
    z = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    module = activations.build_activation(name, [0], 0).double()
    slope = layers.derivative(module, z[None])[0].abs().max().item()
    assert slope == pytest.approx(catalogue.ACTIVATIONS[name].max_derivative, rel=1e-7)


def test_torchs_activations_have_rows() -> None:
    assert set(layers._TORCH_NAMES.values()) <= set(catalogue.ACTIVATIONS)


def test_every_row_is_complete_and_under_its_own_name() -> None:
    assert {
        "ACTIVATIONS",
        "INITIALISERS",
        "BLOCKS",
        "DATASETS",
        "METRICS",
        "COMBINATIONS",
        "CHECKS",
        "ARTICLES",
    } == set(TABLES)
    for table in TABLES.values():
        for name, row in table.items():
            assert getattr(row, "name", None) == name
            assert getattr(row, "source", None), name


def test_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue.METRICS["mine"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        catalogue.METRICS["offset"].name = "mine"  # type: ignore[misc]


def test_second_row_or_function_of_a_name_is_an_error() -> None:
    row = catalogue.ARTICLES["bn-relu"]
    with pytest.raises(ValueError, match="two rows named 'bn-relu'"):
        catalogue._table([row, row])

    def offset(record: object) -> None: ...

    with pytest.raises(ValueError, match="two metrics are named 'offset'"):
        metrics.metric(offset)


@pytest.mark.parametrize("name", catalogue.BLOCKS)
def test_preset_is_a_valid_arm(name: str) -> None:
    assert isinstance(ArmConfig.model_validate(catalogue.BLOCKS[name].patch), BaseModel)


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        catalogue.check_name("article", "bn_relu", catalogue.ARTICLES)
    assert str(caught.value) == (
        "unknown article 'bn_relu'; did you mean 'bn-relu'? "
        "known: bn-relu, causes-cures, slow-training, unstable-gradients"
    )
    with pytest.raises(UserError, match="unknown article 'q'; known: bn-relu, "):
        catalogue.check_name("article", "q", catalogue.ARTICLES)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_the_experiments_is_valid(path: Path) -> None:
    if path.stem.startswith("base-"):
        assert list(resolve_arms(path, ExperimentConfig(base=path.stem, arms={"a": {}}))) == ["a"]
    else:
        experiment = load_experiment(path)
        assert all(isinstance(config, ArmConfig) for config in resolve_arms(path, experiment).values())


def test_claims_are_the_registers(claims: dict[str, ClaimConfig]) -> None:
    assert set(claims) == set(REGISTER)
    for name, claim in claims.items():
        kind, articles, _ = REGISTER[name]
        assert claim.kind == kind, name
        assert set(claim.articles) == articles, name
        assert set(claim.sections) <= articles, name


def test_thresholds_are_the_registers(claims: dict[str, ClaimConfig]) -> None:
    for name, claim in claims.items():
        fixed = REGISTER.get(name, ("", set(), set()))[2]
        if fixed:
            assert {part.threshold for part in claim.parts} == fixed, name


def test_seeded_claims_measure_what_they_judge(claims: dict[str, ClaimConfig]) -> None:
    for name, claim in claims.items():
        for arm, config in resolve_arms(EXPERIMENTS / f"{name}.yaml", claim).items():
            judged = {part.metric for part in claim.parts if arm in part.arms}
            for metric in judged:
                assert MEASURED_BY.get(metric, lambda config: config.probes.every != 0)(config), (name, arm, metric)
            deepest = max((part.options.get("from_layer", 1) for part in claim.parts if arm in part.arms), default=1)
            assert deepest <= config.model.depth, (name, arm)


def test_every_article_makes_claims(claims: dict[str, ClaimConfig]) -> None:
    assert {article for claim in claims.values() for article in claim.articles} == set(catalogue.ARTICLES)


def test_published_values_stand_beside_a_part(claims: dict[str, ClaimConfig]) -> None:
    for name, claim in claims.items():
        assert set(claim.published) <= {part.title for part in claim.parts}, name
