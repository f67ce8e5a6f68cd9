"""What comes with the package is found without its place being known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config import shipped
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import find_base, load_experiment, resolve_arms

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as a wheel lays it out: one experiment and one base inside it."""
    inside = tmp_path / "site-packages" / "vgtemplate" / "experiments"
    (inside / "bases").mkdir(parents=True)
    (inside / "bases" / "of-wheel.yaml").write_text("model: {depth: 3}\n")
    (inside / "of-wheel.yaml").write_text("base: of-wheel\narms: {plain: {}}\n")
    monkeypatch.setattr(shipped, "_INSIDE", inside)
    return inside


def test_editable_install_has_the_experiments_of_its_repository() -> None:
    assert not shipped.is_installed()
    assert shipped.shipped_dir() == REPOSITORY / "experiments"


def test_names_are_those_of_what_can_be_trained() -> None:
    names = shipped.shipped_names()
    assert {"mlp-variants", "own/gan"} <= set(names)
    assert not [name for name in names if name.startswith(("bases", "claims"))]


def test_wheel_has_them_inside(wheel: Path) -> None:
    assert shipped.is_installed()
    assert shipped.shipped_names() == ["of-wheel"]
    assert shipped.find_experiment(Path("of-wheel")) == wheel / "of-wheel.yaml"


def test_file_of_ones_own_goes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.find_experiment(Path("mlp-variants")) == REPOSITORY / "experiments" / "mlp-variants.yaml"
    Path("mlp-variants").write_text("arms: {plain: {}}\n")
    assert shipped.find_experiment(Path("mlp-variants")) == Path("mlp-variants")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("experiments/mlp-varaints.yaml", "mlp-variants"),
        ("mlp-variants.yaml", "mlp-variants"),
        ("gann", "own/gan"),
        ("mine/baselin.yaml", "mine/baseline.yaml"),
    ],
)
def test_nearest_name_is_said(asked: str, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/baseline.yaml").write_text("arms: {plain: {}}\n")
    with pytest.raises(UserError, match=rf"no such file; did you mean {near}\? known by name: cifar-resnet, "):
        shipped.find_experiment(Path(asked))


def test_base_of_the_package_is_the_last_that_is_looked_for(wheel: Path, tmp_path: Path) -> None:
    own = tmp_path / "project" / "own.yaml"
    own.parent.mkdir()
    own.write_text("base: of-wheel\narms: {plain: {}}\n")
    experiment = load_experiment(own, ExperimentConfig)
    assert resolve_arms(own, experiment)["plain"].model.depth == 3  # type: ignore[union-attr]
    (own.parent / "bases").mkdir()
    (own.parent / "bases" / "of-wheel.yaml").write_text("model: {depth: 5}\n")
    assert resolve_arms(own, experiment)["plain"].model.depth == 5  # type: ignore[union-attr]
    with pytest.raises(UserError, match="did you mean 'of-wheel'"):
        find_base(own, "of-whel")


def test_commands_take_a_name(call_vgt: Callable[..., Any]) -> None:
    trained = call_vgt("train", "mlp-variants", "--arm", "plain", "--dataset", "digits", "--dry-run")
    assert trained.succeeded, trained
    predicted = call_vgt("predict", "--arm", "mlp-variants:plain")
    assert predicted.succeeded, predicted
    assert predicted.out.startswith("mlp-variants: plain")
    refused = call_vgt("train", "experiments/mlp-variant.yaml")
    assert refused.refused, refused
    assert "did you mean mlp-variants?" in refused.err
