"""`vgt diagnose` as a process of its own: exit codes, what goes where, and scripts that fail.

Where a script is the first to load torch is tried in tests/core/doctor/test_script.py, and here by the first test.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import run_vgt

PLAIN = Path(__file__).parents[1] / "doctor" / "scripts" / "plain.py"
ILL = ("--activation", "Sigmoid", "--depth", "12", "--steps", "12")
QUIET = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

pytestmark = pytest.mark.slow


@pytest.fixture
def vgt(tmp_path: Path):
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_vgt("diagnose", *map(str, arguments), cwd=tmp_path, environment=os.environ | QUIET)

    return call


@pytest.fixture
def vgt_anew(tmp_path: Path):
    """In a Python that has not loaded torch."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vgtemplate", "diagnose", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | QUIET)

    return call


def test_healthy_training_is_0_and_its_output_stays_its_own(vgt_anew) -> None:
    done = vgt_anew(PLAIN, "--steps", 12)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done __main__ ['--steps', '12']\n"
    assert done.stderr == f"vgt diagnose {PLAIN}: healthy (6 steps watched, 0 to 9)\n"


def test_findings_are_1_in_table_json_and_page(vgt, tmp_path: Path) -> None:
    done = vgt("--json", "r.json", "--html", "r.html", PLAIN, *ILL)
    assert done.returncode == 1
    assert done.stdout.startswith("done")
    assert "1 finding" in done.stderr
    assert len(done.stderr.splitlines()) < 40
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [each["code"] for each in report["findings"]] == ["vanishing-depth"]
    assert "vanishing-depth" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json"]


def test_json_on_the_output(vgt) -> None:
    done = vgt("--json", "-", "--steps", 5, "--stop", PLAIN)
    assert json.loads(done.stdout)["steps"] == [0, 1, 2, 3, 4]


def test_script_goes_on_when_all_steps_are_watched_or_is_stopped(vgt) -> None:
    assert vgt("--steps", 5, PLAIN, "--steps", 12).stdout.startswith("done")
    stopped = vgt("--steps", 5, "--stop", PLAIN, *ILL)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "(5 steps watched, 0 to 4)" in stopped.stderr


def test_module_and_its_arguments(vgt, tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "train.py").write_text(PLAIN.read_text(encoding="utf-8"), encoding="utf-8")
    done = vgt("-m", "mine.train", "--steps", 6)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done __main__ ['--steps', '6']\n"


def test_script_that_fails_keeps_its_traceback_and_exit_code(vgt) -> None:
    done = vgt(PLAIN, "--fails-at", 7)
    assert done.returncode == 1
    assert "(5 steps watched, 0 to 4)" in done.stderr
    lines = done.stderr[done.stderr.index("Traceback") :].splitlines()
    assert f'File "{PLAIN}"' in lines[1]
    assert lines[-1] == "RuntimeError: the disk is gone"
    assert "vgtemplate" not in "".join(lines).replace(str(PLAIN), "")
    assert vgt(PLAIN, "--steps", 3, "--exit", 5).returncode == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.py",), "error: missing.py: no such file"),
        (("-m", "missing.train"), "error: -m missing.train: cannot be imported: No module named 'missing'"),
        (("-m", "missing"), "error: -m missing: no such module"),
        (("folder",), "error: folder: is a folder without a __main__.py"),
        (("empty.py",), "vgt diagnose empty.py: it never imported torch: there is nothing to diagnose"),
        (("still.py",), "vgt diagnose still.py: no optimiser has stepped: there is nothing to diagnose"),
        (("broken.py",), "error: broken.py: line 1: "),
        (("--steps", "0", "empty.py"), "error: Invalid value for '--steps'"),
        (("--html", "nowhere/page.html", "empty.py"), "error: --html: there is no folder nowhere"),
    ],
)
def test_what_cannot_be_watched_is_one_line(vgt_anew, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "still.py").write_text("import torch\ntorch.nn.Linear(2, 2)(torch.ones(1, 2))\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("def (:\n", encoding="utf-8")
    done = vgt_anew(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(words), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_diagnosis_is_noted_in_the_run_that_the_script_has_begun(vgt, tmp_path: Path) -> None:
    mine = "import mlflow\nimport runpy\nimport sys\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
    mine += f"with mlflow.start_run():\n    runpy.run_path({str(PLAIN)!r}, run_name='__main__')\n"
    (tmp_path / "tracked.py").write_text(mine, encoding="utf-8")
    done = vgt("tracked.py", *ILL)
    assert done.returncode == 1, done.stderr
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs(["0"])
    assert run.data.tags["doctor.healthy"] == "false"
    assert run.data.tags["doctor.codes"] == "vanishing-depth"
    assert [path for path in tmp_path.rglob("doctor.html") if "vanishing-depth" in path.read_text(encoding="utf-8")]


def test_page_loads_nothing_from_anywhere(vgt, tmp_path: Path) -> None:
    vgt("--html", "r.html", "--steps", 3, "--stop", PLAIN)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href|url)\s*[=(]|@import|https?:", page)
