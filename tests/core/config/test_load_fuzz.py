"""Whatever stands in an experiment or in `--set`: a valid configuration, or one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.key import arm_key
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.network import InitialiserConfig, ModelConfig
from vgtemplate.config.schema import ArmConfig

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SETTINGS: list[str] = [
    *ArmConfig.model_fields,
    *ModelConfig.model_fields,
    *ExperimentConfig.model_fields,
    *InitialiserConfig.model_fields,
    *(name for section in ArmConfig().model_dump().values() for name in section),
    "variants",
    "a",
]
NAMES: list[str] = [
    *catalogue.ACTIVATIONS,
    *catalogue.INITIALISERS,
    *catalogue.BLOCKS,
    *("mlp", "batch", "it", "a"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from(NAMES),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
)
KEYS = st.one_of(st.sampled_from(SETTINGS), st.sampled_from(SETTINGS), st.text(max_size=5), st.integers(0, 3))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


def outcome(action: Callable[[], object]) -> object:
    """Return what an action returns, or None where it raises a UserError of one line; let all else through."""
    error: UserError | None = None
    try:
        return action()
    except UserError as refused:
        error = refused
    assert len(str(error).splitlines()) == 1
    return None


def is_usable(config: ArmConfig) -> None:
    """A valid arm has a key and survives JSON."""
    content = config.model_dump(mode="json")
    assert ArmConfig.model_validate(json.loads(json.dumps(content))) == config
    assert len(arm_key(content, [0], "f")) == 20


@FEW
@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_any_tree_is_an_experiment_or_refused(tmp_path: Path, tree: dict[Any, Any]) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    outcome(lambda: load_experiment(path, ExperimentConfig))


@FEW
@given(
    st.dictionaries(
        st.sampled_from([*ArmConfig.model_fields, "variants"]),
        st.one_of(st.dictionaries(KEYS, SCALARS | TREES, max_size=3), TREES),
        max_size=3,
    )
)
def test_any_arm_is_a_configuration_or_refused(tmp_path: Path, patch: dict[str, Any]) -> None:
    path = tmp_path / "it.yaml"
    for config in (
        outcome(lambda: resolve_arms(path, ExperimentConfig(arms={"a": patch}))) or {"": ArmConfig()}
    ).values():
        is_usable(config)


@FEW
@given(st.text(max_size=60))
def test_any_text_is_an_experiment_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "it.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome(lambda: load_experiment(path, ExperimentConfig))


@FEW
@given(st.binary(max_size=40))
def test_any_bytes_are_an_experiment_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "it.yaml"
    path.write_bytes(content)
    outcome(lambda: load_experiment(path, ExperimentConfig))


YAML_MARKS = st.text(alphabet="{}[]:,&*!|>-?%@'\"# \n\tab01.<", max_size=40)
PATHS = st.one_of(
    st.sampled_from([f"{name}.{key}" for name, section in ArmConfig().model_dump().items() for key in section]),
    st.lists(st.sampled_from(SETTINGS), min_size=1, max_size=4).map(".".join),
    st.text(max_size=12),
)


@FEW
@given(st.one_of(st.builds("{}={}".format, PATHS, SCALARS), st.builds("{}={}".format, PATHS, YAML_MARKS), st.text()))
def test_any_override_is_a_configuration_or_refused(tmp_path: Path, override: str) -> None:
    experiment = ExperimentConfig(arms={"a": {"model": {"initialiser": {"name": "normal", "std": 1.0}}}})
    found: Any = outcome(lambda: resolve_arms(tmp_path / "it.yaml", experiment, [override]))
    if found is not None:
        is_usable(found["a"])


@FEW
@given(YAML_MARKS)
def test_any_marks_of_yaml_are_an_experiment_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(f"arms: {{a: {{}}}}\n{text}", encoding="utf-8")
    outcome(lambda: load_experiment(path, ExperimentConfig))
