"""People's own code: found by name, held against its signature, called, its faults told in one line."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment
from vgtemplate.config.own import Factory, build, check_settings, find
from vgtemplate.config.source import source_of

_NUMBERS = itertools.count()
SOURCE = """
def make(width, depth=2, *, input_shape=None):
    return width, depth, input_shape

def fall(width=1):
    nothing = {}
    return nothing["key"]

def hungry(num_classes):
    return num_classes

def open_to_all(**settings):
    return settings

class Net:
    def __init__(self, width=3):
        self.width = width

    @classmethod
    def wide(cls):
        return cls(100)

NUMBER = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module of one's own into the working folder; returns its name, never used before in this process."""
    monkeypatch.chdir(tmp_path)

    def write(source: str) -> str:
        name = f"own_code_{next(_NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


def refusal(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_factory_is_called_with_its_settings_and_what_it_asks_for(own: Callable[[str], str]) -> None:
    name = own(SOURCE)
    offered = {"input_shape": (1, 2), "num_classes": 7}
    made = build("model", Factory(factory=f"{name}:make", settings={"width": 5}), offered)
    assert made == (5, 2, (1, 2))
    assert build("model", Factory(factory=f"{name}:hungry"), offered) == 7
    assert build("model", Factory(factory=f"{name}:hungry", settings={"num_classes": 3}), offered) == 3
    assert build("model", Factory(factory=f"{name}:open_to_all", settings={"a": 1}), offered) == {"a": 1}
    assert build("model", Factory(factory=f"{name}:Net")).width == 3
    assert build("model", Factory(factory=f"{name}:Net.wide")).width == 100


def test_code_that_cannot_be_found_is_answered_with_the_nearest_name(own: Callable[[str], str]) -> None:
    name = own(SOURCE)
    text = refusal(find, "model.factory", f"{name}:mke")
    assert text == f"model.factory {name}:mke: {name}.py has no 'mke'; did you mean 'make'?"
    text = refusal(find, "model.factory", f"{name}x:make")
    assert text.startswith(f"model.factory {name}x:make: no module '{name}x' beside the experiment")
    assert f"did you mean '{name}'?" in text
    assert refusal(find, "model.factory", f"{name}:NUMBER").endswith("is a int; it must be a function or a class")


def test_an_import_that_fails_is_told_with_file_and_line(own: Callable[[str], str]) -> None:
    name = own("x = 1\nimport no_such_library_at_all\n")
    text = refusal(find, "model.factory", f"{name}:make")
    reason = f"cannot be imported: ModuleNotFoundError: No module named 'no_such_library_at_all' ({name}.py:2)"
    assert text == f"model.factory {name}:make: {reason}"
    broken = own("def make(:\n")
    assert refusal(find, "model.factory", f"{broken}:make").endswith(f"({broken}.py:1)")
    leaves = own("import sys\nsys.exit(3)\n")
    assert "SystemExit: 3" in refusal(find, "model.factory", f"{leaves}:make")


def test_settings_are_held_against_the_signature(own: Callable[[str], str]) -> None:
    name = own(SOURCE)
    check_settings("model", Factory(factory=f"{name}:make", settings={"width": 1, "input_shape": [1]}))
    check_settings("model", Factory(factory=f"{name}:hungry"), ("num_classes",))
    check_settings("model", Factory(factory=f"{name}:open_to_all", settings={"anything": 1}))
    unknown = Factory(factory=f"{name}:make", settings={"widht": 64})
    assert refusal(check_settings, "model", unknown) == (
        f"model.settings: unknown setting of {name}:make 'widht'; did you mean 'width'? "
        "known: depth, input_shape, width"
    )
    assert refusal(check_settings, "model", Factory(factory=f"{name}:make")) == (
        f"model.settings.width: is missing; {name}:make needs it"
    )


def test_what_a_factory_raises_is_one_line_with_its_place(own: Callable[[str], str]) -> None:
    name = own(SOURCE)
    text = refusal(build, "model", Factory(factory=f"{name}:fall"))
    assert text == f"model.factory {name}:fall: KeyError: 'key' ({name}.py:7)"
    text = refusal(build, "model", Factory(factory="torch.nn:Linear", settings={"in_features": "x", "out_features": 1}))
    assert text.startswith("model.factory torch.nn:Linear: TypeError: ")


def test_a_file_of_the_working_folder_never_hides_a_library(own: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("def rgb_to_hsv():\n    return 'theirs'\n")
    assert find("model.factory", "colorsys:rgb_to_hsv")(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)


def test_code_lies_beside_the_experiment_or_in_the_working_folder(own: Callable[[str], str], tmp_path: Path) -> None:
    here = own(SOURCE)
    beside = f"{here}_beside"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / f"{beside}.py").write_text("def make(): return 'beside'")
    (folder / "net.yaml").write_text(f"arms: {{a: {{model: {{factory: '{beside}:make'}}}}}}")
    assert list(load_experiment(folder / "net.yaml", ExperimentConfig).arms) == ["a"]
    assert find("here", f"{beside}:make")() == "beside"
    assert find("here", f"{here}:make")(3) == (3, 2, None)
    # What is spawned, such as a worker of the laboratory, finds it too.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(source_of, f"{beside}:make").result(60) == source_of(f"{beside}:make")


@pytest.mark.parametrize("text", ["my_nets", "my_nets:", ":make", "my nets:make", "a.b:c:d", "../x:y", "x:y()", "1a:b"])
def test_a_name_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"module:name"):
        Factory(factory=text)


def test_settings_are_plain_data() -> None:
    for value in (float("nan"), float("inf"), (1, 2), {1: 2}, [{"a": {1}}]):
        with pytest.raises(ValidationError, match="allowed: text, numbers"):
            Factory(factory="a:b", settings={"value": value})
