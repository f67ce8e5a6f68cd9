"""The notebook runs from its first cell to its last, in a kernel of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import REPOSITORY

NOTEBOOK = REPOSITORY / "docs/notebook.ipynb"


@pytest.mark.slow
def test_notebook_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=600", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*command, str(NOTEBOOK)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout or done.stdout.startswith(".")


def test_notebook_has_ten_cells_and_its_pictures() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    outputs = [kind for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert len(cells) == 10
    assert outputs.count("image/png") == 2
    assert outputs.count("text/html") == 2
    assert NOTEBOOK.stat().st_size < 300_000
