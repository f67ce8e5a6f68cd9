"""A new project is used as its README says: by its own make, with this environment in the place of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = {"vgt": "from vgtemplate.cli.main import main", "pytest": "from pytest import console_main as main"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project as `vgt new` writes it, and beside it what `make setup` would have installed."""
    folder = tmp_path_factory.mktemp("new")
    subprocess.run([sys.executable, "-m", "vgtemplate", "new", str(folder / "my-project")], check=True, cwd=REPOSITORY)
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    paths = folder / "my-project", REPOSITORY, sysconfig.get_path("purelib")
    (packages / "paths.pth").write_text("".join(f"{path}\n" for path in paths))
    for name, code in SCRIPTS.items():
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\n{code}\nif __name__ == '__main__':\n    main()\n")
        script.chmod(0o755)
    (environment / "bin" / "ruff").symlink_to(Path(sys.executable).with_name("ruff"))
    (environment / ".ready").touch()
    (folder / "my-project" / "results").mkdir()
    shutil.copy(empty_database, folder / "my-project" / "results")
    return folder / "my-project"


@pytest.fixture
def make(project: Path) -> Callable[[str], str]:
    """Run a target in the project and return what it prints; whatever fails, fails the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VGT_", "MLFLOW", "PYTEST"))}

    def call(target: str) -> str:
        done = subprocess.run(
            ["make", target, "VENV=../environment"],
            cwd=project,
            env=kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def test_it_trains(project: Path, make: Callable[[str], str]) -> None:
    table = make("train")
    (accuracy,) = re.findall(r"^baseline +\S+ \[.*?\] +(\S+) \[", table, flags=re.MULTILINE)
    assert float(accuracy) > 0.85
    assert len(list((project / "results").glob("*/record.json"))) == 1
    assert "my_project.data:load_digits, seeds 0 to 9" in table


def test_its_own_tests_and_its_lint_pass(make: Callable[[str], str]) -> None:
    assert re.search(r"\b\d+ passed", make("test"))
    assert "All checks passed" in make("lint")


def test_its_own_claim_is_judged_and_stands_in_its_own_report(project: Path, make: Callable[[str], str]) -> None:
    said = make("reproduce")
    assert "data set: own" in said, "no data set is fetched for claims that have their own data"
    assert "1 claim on own, seeds 0 to 9" in said
    assert re.search(r"deeper-is-better +refuted .* 0 of 10", said)
    page = (project / "results" / "report" / "index.html").read_text()
    assert set(re.findall(r'data-claim="([^"]+)"', page)) == {"deeper-is-better"}
    assert "Verdicts on my_project.data:load_digits, seeds 0 to 9." in page
    assert "vgt reproduce deeper-is-better --seeds 10" in page
    assert not (project / "data").exists()
