"""Settings: what they allow, what they mean, and that JSON keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from vgtemplate.config import catalogue
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.key import arm_key
from vgtemplate.config.network import ModelConfig
from vgtemplate.config.own import Factory
from vgtemplate.config.schema import ArmConfig, DataConfig

SEEDS = range(3)


def arm_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Draw what an arm's YAML may hold."""
    initialisers = st.one_of(
        st.sampled_from([name for name, row in catalogue.INITIALISERS.items() if not row.needs_std]),
        st.fixed_dictionaries({"name": st.just("normal"), "std": st.floats(0, 1e3)}),
        st.fixed_dictionaries({"name": st.just("he_normal"), "gain": st.floats(1e-3, 1e3) | st.integers(1, 9)}),
    )
    model = st.fixed_dictionaries(
        {},
        optional={
            "depth": st.integers(1, 10_000),
            "width": st.integers(1, 65536) | st.lists(st.integers(1, 65536), min_size=1, max_size=4),
            "activation": st.sampled_from(sorted(catalogue.ACTIVATIONS)),
            "initialiser": initialisers,
            "dropout": st.floats(0, 1, exclude_max=True),
            "norm": st.sampled_from(["none", "batch", "layer"]),
        },
    )
    training = st.fixed_dictionaries({}, optional={"epochs": st.none() | st.integers(1, 9), "evaluate": st.booleans()})
    optimiser = st.fixed_dictionaries({}, optional={"lr": st.floats(0, 1e300) | st.integers(0, 3)})
    return st.fixed_dictionaries({}, optional={"model": model, "training": training, "optimiser": optimiser})


@settings(max_examples=100, deadline=None)
@given(arm_settings())
def test_configuration_comes_back_from_json_with_its_key(content: dict[str, Any]) -> None:
    config = ArmConfig.model_validate(content)
    dumped = config.model_dump(mode="json")
    again = ArmConfig.model_validate(json.loads(json.dumps(dumped)))
    assert again == config
    assert arm_key(again.model_dump(mode="json"), SEEDS, "f") == arm_key(dumped, SEEDS, "f")


def test_whole_number_for_a_real_one_is_the_same_configuration() -> None:
    one, real = (ArmConfig.model_validate({"optimiser": {"lr": lr}}) for lr in (1, 1.0))
    assert one == real
    assert arm_key(one.model_dump(mode="json"), SEEDS, "f") == arm_key(real.model_dump(mode="json"), SEEDS, "f")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ArmConfig().model.depth = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", catalogue.ACTIVATIONS)
def test_initialiser_is_the_activations_usual_one_unless_given(name: str) -> None:
    assert ModelConfig.model_validate({"activation": name}).initialiser.name == catalogue.ACTIVATIONS[name].initialiser
    given_one = ModelConfig.model_validate({"activation": name, "initialiser": "orthogonal"})
    assert given_one.initialiser.name == "orthogonal"


def test_usual_initialisers_are_the_registers() -> None:
    usual = {name: row.initialiser for name, row in catalogue.ACTIVATIONS.items()}
    assert {usual[name] for name in ("sigmoid", "tanh")} == {"glorot_normal"}
    assert {usual[name] for name in ("relu", "leaky_relu", "rrelu", "prelu", "elu")} == {"he_normal"}
    assert usual["selu"] == "lecun_normal"


def test_defaults_are_the_standard_quick_setting() -> None:
    config = ArmConfig()
    assert (config.model.kind, config.model.width, config.model.bias) == ("mlp", 64, "zeros")
    assert (config.data.num_train, config.data.batch_size, config.data.scaling) == (10_000, 128, "standardise")
    assert (config.optimiser.name, config.optimiser.lr, config.optimiser.momentum) == ("sgd", 0.1, 0.0)
    assert (config.training.steps, config.training.epochs, config.training.loss) == (500, None, "cross_entropy")


def test_widths_are_cycled_over_the_layers() -> None:
    assert ModelConfig(depth=3, width=7).widths() == [7, 7, 7]
    assert ModelConfig(depth=5, width=[64, 128]).widths() == [64, 128, 64, 128, 64]
    assert ModelConfig(depth=1, width=[64, 128]).widths() == [64]


def test_every_setting_has_its_text() -> None:
    def check(schema: type[BaseModel]) -> None:
        for name, info in schema.model_fields.items():
            assert info.description, f"{schema.__name__}.{name} has no text"

    sections = [type(section) for _, section in ArmConfig() if section is not None]
    for schema in (ExperimentConfig, ArmConfig, Factory, *sections, type(ModelConfig().initialiser)):
        check(schema)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"norm_noise": True}}, "norm_noise: true needs norm: batch"),
        ({"model": {"norm_noise": True, "norm": "layer"}}, "norm_noise: true needs norm: batch"),
        ({"model": {"kind": "resnet", "depth": 8, "norm": "batch", "norm_noise": True}}, "kind: mlp or cnn"),
        ({"model": {"kind": "resnet", "depth": 8, "norm": "batch", "norm_affine": False}}, "always True"),
        ({"model": {"width": [8, 16]}, "probes": {"removal": True}}, "probes.removal needs a built-in mlp"),
        ({"model": {"kind": "cnn"}, "probes": {"zero_gradients": True}}, "probes.zero_gradients needs a built-in mlp"),
        ({"model": {"factory": "json:loads"}, "probes": {"shift": True}}, "probes.shift needs a built-in network"),
        ({"model": {"factory": "json:loads"}, "probes": {"gradient_change": True}}, "gradient_change needs a built-in"),
        ({"model": {"factory": "json:loads"}, "probes": {"removal": True}}, "probes.removal needs a built-in mlp"),
        ({"training": {"score": "none"}, "probes": {"removal": True}}, "needs training.score: accuracy"),
    ],
)
def test_noise_and_probes_that_a_network_cannot_have_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArmConfig.model_validate(content)


def test_path_goes_with_image_folder_only() -> None:
    assert DataConfig(dataset="image_folder", path="pictures").path == "pictures"
    for content in ({"dataset": "mnist", "path": "pictures"}, {"path": "pictures"}, {"dataset": "image_folder"}):
        with pytest.raises(ValidationError, match=r"data\.path goes with"):
            DataConfig.model_validate(content)
