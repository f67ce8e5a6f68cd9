"""A library that is missing is said in one line, with the extra that brings it."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import EXTRAS, explain, require

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]


def hide(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Let this process find no `library`, as if it were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))


def test_table_is_that_of_pyproject() -> None:
    for library, extra in EXTRAS.values():
        assert [each for each in OPTIONAL[extra] if each.startswith(f"{library}>=")], library
    listed = {
        each.partition(">=")[0] for extra in ("mlflow", "vision", "report", "cluster") for each in OPTIONAL[extra]
    }
    assert listed == {library for library, _ in EXTRAS.values()}


def test_plain_installation_has_every_extra() -> None:
    for extra in ("mlflow", "vision", "report"):
        assert set(OPTIONAL[extra]) <= set(PROJECT["dependencies"])
    assert OPTIONAL["all"] == ["vgtemplate[mlflow,vision,report]"]


def test_import_that_fails_is_explained_by_its_library() -> None:
    text = "scikit-learn is not installed: pip install 'vgtemplate[vision]'"
    assert explain(ModuleNotFoundError("", name="sklearn.datasets")) == text
    assert explain(ModuleNotFoundError("", name="their_module")) is None
    assert explain(ImportError("cannot import name")) is None


def test_library_that_is_there_is_required_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    require("matplotlib")
    hide(monkeypatch, "matplotlib")
    with pytest.raises(UserError, match=r"matplotlib is not installed: pip install 'vgtemplate\[report\]'"):
        require("matplotlib")


def test_command_says_it_in_one_line(call_vgt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.figure")

    monkeypatch.setattr("vgtemplate.figures.theory.draw_phase_diagram", draw)
    ended = call_vgt("phase-diagram", "tanh", "--plot", "tanh.png")
    assert ended.refused, ended
    assert ended.err == "error: matplotlib is not installed: pip install 'vgtemplate[report]'\n"


def test_missing_library_of_a_bug_is_no_mistake_of_the_user(
    call_vgt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'absent'", name="absent")

    monkeypatch.setattr("vgtemplate.figures.theory.draw_phase_diagram", draw)
    with pytest.raises(ModuleNotFoundError, match="absent"):
        call_vgt("phase-diagram", "tanh", "--plot", "tanh.png")


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("sklearn", ("train", "mlp-variants", "--dataset", "digits", "--dry-run")),
        ("torchvision", ("data", "fetch", "mnist")),
    ],
)
def test_data_that_need_a_missing_library_say_so(
    library: str, arguments: tuple[str, ...], call_vgt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, library)
    ended = call_vgt(*arguments)
    assert ended.code == 2, ended
    assert ended.err.endswith("is not installed: pip install 'vgtemplate[vision]'\n")
    assert len(ended.err.splitlines()) == 1
