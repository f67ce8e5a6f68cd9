"""What the README tells a stranger to do works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.readme import PYTHON, REPOSITORY, SHELL, check_line, lines_of
from vgtemplate.cli.main import COMMANDS


def test_own_network_example_trains_ten_seeds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [block for block in PYTHON if "replicate" in block]
    smaller = code.replace('"mnist"', '"digits"').replace("784", "64").replace("max_steps=500", "max_steps=40")
    assert smaller.count("digits") == smaller.count("max_steps=40") == 1
    exec(compile(smaller, "README.md", "exec"), {})
    accuracies = re.findall(r"0\.\d+", capsys.readouterr().out.rpartition("tensor(")[2])
    assert len(accuracies) == 10
    assert min(map(float, accuracies)) > 0.3


def test_theory_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in PYTHON if "theory" in block]
    exec(compile(code, "README.md", "exec"), {})
    gain, slope, *_ = capsys.readouterr().out.splitlines()
    assert gain.startswith("1.41421")
    assert abs(float(slope)) < 0.02


@pytest.mark.parametrize("line", lines_of(COMMANDS))
def test_every_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)


@pytest.mark.parametrize("target", sorted({line.split()[1] for line in SHELL if line.startswith("make ")}))
def test_every_make_target_exists(target: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    names = re.findall(r"^([\w%-]+):", makefile, re.MULTILINE)
    assert any(re.fullmatch(name.replace("%", ".+"), target) for name in names)
