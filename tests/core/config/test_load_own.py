"""Networks, data and modules of one's own in an experiment's file: what they replace, and what is said of mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, overlay, resolve_arms
from vgtemplate.config.own import Factory
from vgtemplate.config.schema import ArmConfig

_NUMBERS = itertools.count()
SOURCE = """
def net(width=1, parts=None): ...
def data(noise=0.0): ...
def lit(lr=0.1): ...
def loss(outputs, targets): ...
def unlike(outputs): ...
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of one's own in the working folder."""
    monkeypatch.chdir(tmp_path)
    module = f"own_load_{next(_NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(SOURCE)
    (tmp_path / "base.yaml").write_text(
        "model: {depth: 7, width: 8}\ndata: {dataset: digits, batch_size: 9}\noptimiser: {lr: 2}"
    )
    return module


def arm(text: str, overrides: Sequence[str] = ()) -> ArmConfig:
    path = Path("experiment.yaml")
    path.write_text(f"base: base\narms: {{a: {text}}}\n")
    return resolve_arms(path, load_experiment(path, ExperimentConfig), overrides)["a"]


def refusal(text: str, overrides: Sequence[str] = ()) -> str:
    with pytest.raises(UserError) as caught:
        arm(text, overrides)
    return str(caught.value)


def test_a_factory_takes_the_place_of_the_built_in_network(name: str) -> None:
    found = arm(f"{{model: {{factory: '{name}:net', settings: {{width: 3}}}}}}")
    assert found.model == Factory(factory=f"{name}:net", settings={"width": 3})
    assert found.built_in is None
    assert (found.data.dataset, found.optimiser.lr) == ("digits", 2)


def test_settings_of_any_depth_can_be_set(name: str) -> None:
    text = f"{{model: {{factory: '{name}:net', settings: {{parts: {{head: {{units: 1, act: relu}}}}}}}}}}"
    found = arm(text, ["model.settings.parts.head.units=5", "model.settings.width=32"])
    assert isinstance(found.model, Factory)
    assert found.model.settings == {"width": 32, "parts": {"head": {"units": 5, "act": "relu"}}}


def test_data_and_module_replace_what_stood_below(name: str) -> None:
    text = f"{{module: {{factory: '{name}:lit'}}, data: {{factory: '{name}:data', settings: {{noise: 1}}}}}}"
    found = arm(text, ["module.settings.lr=0.5", "data.batch_size=3"])
    assert found.module == Factory(factory=f"{name}:lit", settings={"lr": 0.5})
    assert found.data.own == Factory(factory=f"{name}:data", settings={"noise": 1})
    assert (found.data.dataset, found.data.batch_size) == ("own", 3)
    dumped = found.model_dump(mode="json")
    assert not {"model", "optimiser", "clipping", "pretraining"} & dumped.keys()
    assert not {"loss", "score"} & dumped["training"].keys()
    assert ArmConfig.model_validate(dumped) == found


LAYERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "own over own": (
        {"model": {"factory": "a:b", "settings": {"x": 1}}},
        {"model": {"factory": "c:d"}},
        {"model": {"factory": "c:d"}},
    ),
    "setting over own": (
        {"model": {"factory": "a:b", "settings": {"x": 1}}},
        {"model": {"settings": {"y": 2}}},
        {"model": {"factory": "a:b", "settings": {"x": 1, "y": 2}}},
    ),
    "kind over own": (
        {"model": {"factory": "a:b", "settings": {"x": 1}}},
        {"model": {"kind": "cnn"}},
        {"model": {"kind": "cnn"}},
    ),
    "kind over kind": (
        {"model": {"kind": "mlp", "width": 3}},
        {"model": {"kind": "cnn"}},
        {"model": {"kind": "cnn", "width": 3}},
    ),
    "own over module": ({"module": {"factory": "a:b"}}, {"model": {"factory": "c:d"}}, {"model": {"factory": "c:d"}}),
    "module over all": (
        {"model": {"depth": 3}, "optimiser": {"lr": 1}, "training": {"loss": "l1", "steps": 3}, "clipping": {}},
        {"module": {"factory": "a:b"}},
        {"module": {"factory": "a:b"}, "training": {"steps": 3}},
    ),
    "data set over own data": (
        {"data": {"factory": "a:b", "settings": {}, "batch_size": 3}},
        {"data": {"dataset": "mnist"}},
        {"data": {"dataset": "mnist", "batch_size": 3}},
    ),
    "nothing of the kind": (
        {"data": 3, "model": None},
        {"optimiser": {"lr": 1}},
        {"data": 3, "model": None, "optimiser": {"lr": 1}},
    ),
}


@pytest.mark.parametrize(("below", "layer", "expected"), LAYERS.values(), ids=list(LAYERS))
def test_what_a_layer_replaces(below: dict[str, Any], layer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert overlay(below, layer) == expected


REFUSED = {
    "unknown setting": (
        "{model: {factory: 'NAME:net', settings: {widht: 64}}}",
        "experiment.yaml: arms.a.model.settings: unknown setting of NAME:net 'widht'; did you mean 'width'?",
    ),
    "unknown function": (
        "{model: {factory: 'NAME:nett'}}",
        "arms.a.model.factory NAME:nett: NAME.py has no 'nett'; did",
    ),
    "no form": ("{model: {factory: NAME}}", "arms.a.model.factory: 'NAME' names no code; allowed: module:name"),
    "unknown key": (
        "{model: {factory: 'NAME:net', setting: {}}}",
        "arms.a.model.setting: unknown key 'setting'; did you mean 'settings'? known: factory, settings",
    ),
    "key of a module": (
        "{module: {factory: 'NAME:lit', setings: {}}}",
        "arms.a.module.setings: unknown key 'setings'; did you mean 'settings'? known: factory, settings",
    ),
    "built-in key": (
        "{model: {factory: 'NAME:net', depth: 3}}",
        "arms.a.model.depth: unknown key 'depth'; known: factory, settings",
    ),
    "no factory": ("{model: {settings: {width: 3}}}", "arms.a.model.factory: is missing"),
    "beside a module": (
        "{module: {factory: 'NAME:lit'}, optimiser: {lr: 1}, training: {loss: l1}}",
        "arms.a: optimiser, training.loss cannot be given beside module, which decides that itself",
    ),
    "settings without data": ("{data: {settings: {a: 1}}}", "arms.a.data: data.settings are the keyword arguments of"),
    "own without factory": ("{data: {dataset: own}}", "arms.a.data: data.factory goes with data.dataset: own"),
    "no such loss": ("{training: {loss: l3}}", "arms.a.training.loss: unknown loss 'l3'; did you mean 'l1'?"),
    "another loss": (
        "{training: {loss: 'NAME:unlike'}}",
        "arms.a.training.loss NAME:unlike: must take (outputs, targets): too many positional arguments",
    ),
    "no such score": ("{training: {score: 'NAME:acc'}}", "arms.a.training.score NAME:acc: NAME.py has no 'acc'"),
    "no accuracy": (
        "{training: {loss: l1, stop_accuracy: 0.5}}",
        "arms.a: training.stop_accuracy and evaluate_train need training.score: accuracy",
    ),
    "pretraining": (
        "{model: {factory: 'NAME:net'}, pretraining: {kind: rbm}}",
        "arms.a: pretraining needs a plain mlp of sigmoid units",
    ),
    "no number": (
        "{model: {factory: 'NAME:net', settings: {width: .nan}}}",
        "arms.a.model.settings: nan is no finite number",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_mistake_is_one_line_with_its_place(name: str, text: str, message: str) -> None:
    assert message.replace("NAME", name) in refusal(text.replace("NAME", name))


def test_a_mistake_of_an_override_is_named(name: str) -> None:
    own = f"{{model: {{factory: '{name}:net'}}}}"
    assert "unknown setting" in refusal(own, ["model.settings.widht=3"])
    assert refusal(own, ["model.setings=3"]).startswith("--set model.setings=3: model.setings: unknown key 'setings'")


def test_the_score_follows_from_the_loss() -> None:
    names = {loss: ArmConfig.model_validate({"training": {"loss": loss}}).training.score_name for loss in ("l1", "a:b")}
    assert names == {"l1": "r2", "a:b": ""}
    assert ArmConfig().training.score_name == "accuracy"
    named = ArmConfig.model_validate({"training": {"score": "my.metrics:Scores.f1"}})
    assert named.training.score_name == "f1"
