"""What can be named: rows read from the text of the package are those that its decorators state at run time."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from vgtemplate import metrics
from vgtemplate.config import catalogue, declared
from vgtemplate.config.catalogue import ACTIVATIONS, BLOCKS, DATASETS, INITIALISERS, METRICS
from vgtemplate.config.declared import Declared
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.sources import LOADERS
from vgtemplate.nn import activations, initialisers

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
DECLARED: dict[str, tuple[Declared[Any], Mapping[str, Any]]] = {
    "activation": (ACTIVATIONS, activations.FUNCTIONS),
    "initialiser": (INITIALISERS, initialisers.FUNCTIONS),
    "dataset": (DATASETS, LOADERS),
    "metric": (METRICS, metrics.FUNCTIONS),
}


@pytest.mark.parametrize("kind", DECLARED)
def test_rows_that_are_read_are_those_that_the_decorators_state(kind: str) -> None:
    table, functions = DECLARED[kind]
    assert table._written == table._added
    assert list(table) == list(functions)


@pytest.mark.parametrize("kind", [*DECLARED, "variant"])
def test_every_row_is_complete_and_under_its_own_name(kind: str) -> None:
    table: Mapping[str, Any] = BLOCKS if kind == "variant" else DECLARED[kind][0]
    assert table
    for name, row in table.items():
        assert row.name == name
        assert row.source, name
        with pytest.raises(AttributeError):
            row.source = "mine"


@pytest.mark.parametrize("name", METRICS)
def test_options_of_a_metric_are_its_functions_arguments(name: str) -> None:
    record, *options = inspect.signature(metrics.FUNCTIONS[name]).parameters.values()
    assert record.name == "record"
    assert tuple(option.name for option in options) == METRICS[name].options
    assert all(option.default is not inspect.Parameter.empty for option in options)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_largest_derivative_is_the_functions(name: str) -> None:
    z = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    module = activations.build_activation(name, [0], 0).double()
    slope = activations.derivative(module, z[None])[0].abs().max().item()
    assert slope == pytest.approx(ACTIVATIONS[name].max_derivative, rel=1e-4)


def test_usual_initialisers_of_activations_are_known() -> None:
    assert {row.initialiser for row in ACTIVATIONS.values()} <= set(INITIALISERS)


@dataclass(frozen=True)
class Row:
    name: str
    source: str
    size: int = 1
    options: tuple[str, ...] = ()


@pytest.fixture
def thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declared[Row]:
    """What `@thing` declares in a package of its own, of one file."""
    monkeypatch.setattr(declared, "_PACKAGE", tmp_path)
    (tmp_path / "things.py").write_text(
        "import does_not_exist\n"
        '@thing("A 1900", size=2)\ndef one(record, first=1, last=2): ...\n'
        "def none(): ...\n"
        '@other("B")\n@thing("C", name="two")\nclass Second: ...\n'
    )
    return Declared(Row, "thing", "things.py")


def test_rows_are_read_without_running_the_file(thing: Declared[Row]) -> None:
    assert list(thing.values()) == [Row("one", "A 1900", 2, ("first", "last")), Row("two", "C")]
    assert len(thing) == 2
    assert "none" not in thing


def test_what_another_module_declares_is_known_once_it_is_imported(thing: Declared[Row]) -> None:
    functions: dict[str, Any] = {}
    decorate = thing.decorator(functions)

    @decorate("D", size=3)
    def three(record: object, least: int = 0) -> None: ...

    assert thing["three"] == Row("three", "D", 3, ("least",))
    assert list(thing) == ["one", "two", "three"]
    assert functions == {"three": three}
    with pytest.raises(ValueError, match="two functions are declared as thing 'three'"):
        decorate("E")(three)


def test_value_that_would_have_to_be_computed_is_refused_with_its_place(thing: Declared[Row], tmp_path: Path) -> None:
    (tmp_path / "things.py").write_text('SIZE = 2\n@thing("A", size=SIZE)\ndef one(record): ...\n')
    with pytest.raises(ValueError, match=r"things.py:2: @thing takes literal values only"):
        list(thing)


def test_second_row_of_a_name_is_an_error() -> None:
    row = BLOCKS["plain"]
    with pytest.raises(ValueError, match="two rows named 'plain'"):
        catalogue.table(row, row)
    with pytest.raises(TypeError):
        BLOCKS["mine"] = row  # type: ignore[index]


@pytest.mark.parametrize("name", BLOCKS)
def test_preset_is_a_valid_arm(name: str) -> None:
    assert isinstance(ArmConfig.model_validate(BLOCKS[name].patch), BaseModel)


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        catalogue.check_name("variant", "residuals", BLOCKS)
    assert str(caught.value) == (
        "unknown variant 'residuals'; did you mean 'residual'? known: batchnorm, clipped, plain, residual"
    )
    with pytest.raises(UserError, match="unknown variant 'q'; known: batchnorm, "):
        catalogue.check_name("variant", "q", BLOCKS)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_is_valid(path: Path) -> None:
    experiment = load_experiment(path, ExperimentConfig)
    assert resolve_arms(path, experiment).keys() == experiment.arms.keys()


@pytest.mark.parametrize("path", sorted((EXPERIMENTS / "bases").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_base_is_valid(path: Path) -> None:
    assert list(resolve_arms(path, ExperimentConfig(base=path.stem, arms={"a": {}}))) == ["a"]
