"""Texts that people wrote elsewhere go to terminal, page and MLflow as text: they command nothing and break nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vgtemplate.text import visible
from vgtemplate.tracking.words import cut

HOSTILE = "it \x1b[31mis\x1b[0m [/bold] [red] \x07\x9b5m \u202eso\u202c <b>&amp;</b> {{ 7 * 7 }} \\x"
IN_YAML = HOSTILE.encode("unicode_escape").decode().replace('"', '\\"')
COMMANDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
CLAIM = f"""
id: hostile
articles: []
statement: "{IN_YAML}"
kind: training
notes: "{IN_YAML}"
arms:
  arm: {{model: {{depth: 2, width: 4}}, data: {{num_train: 40, num_test: 20}}, training: {{steps: 3}}}}
parts: [{{metric: test_accuracy, arms: [arm], label: "{IN_YAML}", threshold: ">= 0"}}]
literature: "{IN_YAML}"
"""
COMMANDS = {
    "claims": (0, ["claims"]),
    "json": (0, ["claims", "--json"]),
    "train": (0, ["train", "claims/hostile.yaml", "--dataset", "digits", "--seeds", "1", "--no-tracking"]),
    "reproduce": (0, ["reproduce", "--dataset", "digits", "--seeds", "1", "--jobs", "1", "--no-tracking"]),
    "details": (0, ["reproduce", "hostile", "--dataset", "digits", "--seeds", "1", "--jobs", "1", "--no-tracking"]),
    "report": (0, ["report", "--dataset", "digits", "--seeds", "1", "--no-tracking"]),
    "records": (0, ["predict", "--records"]),
    "unknown claim": (2, ["reproduce", HOSTILE]),
    "unknown command": (2, [HOSTILE]),
    "unknown file": (2, ["train", f"{HOSTILE}.yaml"]),
    "unknown data set": (2, ["train", "claims/hostile.yaml", "--dataset", HOSTILE]),
    "unknown setting": (2, ["train", "claims/hostile.yaml", "--set", f"{HOSTILE}=1"]),
    "unknown experiment": (2, ["ui", HOSTILE]),
    "unknown network": (2, ["predict", "--activation", HOSTILE]),
    "unknown picture": (2, ["classify", HOSTILE, HOSTILE]),
    "project": (2, ["new", HOSTILE]),
    "data": (2, ["data", "verify", HOSTILE]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one claim, whose own name is hostile too."""
    folder = tmp_path_factory.mktemp("hostile") / "a \x1b[31m [/bold] \udcff b"
    (folder / "claims").mkdir(parents=True)
    (folder / "claims" / "hostile.yaml").write_text(CLAIM)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_passes_on_what_commands_a_terminal(
    call_vgt: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, arguments = COMMANDS[name]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(folder / "claims"))
    monkeypatch.setenv("VGT_RESULTS_DIR", str(folder / "results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ended = call_vgt(*arguments)
    assert ended.code == code, (ended.out, ended.err)
    for text in (ended.out, ended.err):
        assert not COMMANDING.search(text), text
    for page in (folder / "results" / "report").glob("*.html"):
        assert not COMMANDING.search(page.read_text(encoding="utf-8"))


@given(st.text())
@example(HOSTILE)
@example("\udcff")
def test_visible_text_has_nothing_but_marks_line_breaks_and_tabs(text: str) -> None:
    shown = visible(text)
    assert all(mark.isprintable() or mark in "\n\t" or unicodedata.category(mark) == "Zs" for mark in shown)
    assert visible(shown) == shown
    shown.encode()
    assert not COMMANDING.search(cut(text, 5000))


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
