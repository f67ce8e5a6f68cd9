"""Every block of the tutorials and how-to pages that is marked as one to run is run, in the order of its page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Ended
from tests.readme import PAGES, README, REPOSITORY, blocks_of

RUN = [page for page in PAGES if page.startswith(("docs/tutorials/", "docs/how-to/"))]
FINDING = "vanishing-depth"
"""What the doctor finds in the script of the tutorial."""


@pytest.fixture
def page_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a page's files, from which they can be imported; what was is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_page_works_as_it_is_written(page: str, page_folder: Path, call_vgt: Callable[..., Ended]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks_of(page):
        if block.title:
            path = page_folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.code, page, "exec"), names)
        elif block.language == "sh":
            for line in block.lines:
                run_line(line, page_folder, call_vgt)


def run_line(line: str, folder: Path, call_vgt: Callable[..., Ended]) -> None:
    """A command of vgt in this process, which has torch loaded; what runs a script of its own in another."""
    _, *words = shlex.split(line, comments=True)
    said = re.search(r"# exit code (\d)", line)
    expected = int(said[1]) if said else 0
    assert line.startswith("vgt "), line
    if words[0] != "diagnose":
        ended = call_vgt(*words)
        assert ended.code == expected, f"{line}\n{ended.out}{ended.err}"
        return
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vgtemplate", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
    if expected:
        assert FINDING in done.stderr


def test_readme_prints_the_finding_of_the_tutorials_script() -> None:
    assert FINDING in README
    assert FINDING in (REPOSITORY / "docs/tutorials/diagnose.md").read_text(encoding="utf-8")
