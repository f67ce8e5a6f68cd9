"""The package as those have it who never saw the repository: its wheel, in an empty environment and an empty folder.

The environment grows in one test, since what costs time is the first import of torch in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LEAN = ("torch", "pytorch-lightning", "numpy")
"""All that the probes need."""
PROBES = """\
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vgtemplate import ActivationProbe, GradientProbe, WeightProbe, replicate, watch


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


x, y = torch.randn(32, 4), torch.arange(32) % 2
probes = [GradientProbe(every=1), ActivationProbe(every=1), WeightProbe(every=1)]
pl.Trainer(max_epochs=1, callbacks=probes).fit(Net(), DataLoader(TensorDataset(x, y), 8))
net = nn.Linear(4, 2)
with watch(net, torch.optim.SGD(net.parameters(), 0.1)) as seen:
    nn.functional.cross_entropy(net(x), y).backward()
print(sorted(probes[0].recorder.series()), replicate(lambda: nn.Linear(4, 2), range(3))(torch.randn(3, 5, 4)).shape)
"""
OWN = """\
import torch


def make_net():
    return torch.nn.Linear(2, 2)


def make_points():
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    return {"train": (x, (x[:, 0] > 0).long()), "test": (x, (x[:, 0] > 0).long())}
"""
OWN_YAML = """\
arms:
  line: {model: {factory: "own:make_net"}, data: {factory: "own:make_points"}, training: {steps: 5}}
"""


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a distribution from what the lock has installed: nothing is fetched to build."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, which thereby has all that it takes."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.mark.slow
def test_wheel_has_every_file_of_package_and_experiments(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"vgtemplate/{name}" for name in files_below(REPOSITORY / "vgtemplate")}
    expected |= {f"vgtemplate/experiments/{name}" for name in files_below(REPOSITORY / "experiments")}
    expected |= {f"vgtemplate/verdicts/{name}" for name in files_below(REPOSITORY / "docs" / "verdicts")}
    beside = {name for name in names if ".dist-info/" not in name}
    assert beside == expected
    assert {"vgtemplate/py.typed", "vgtemplate/experiments/claims/picks/mnist.yaml"} <= beside


@pytest.mark.slow
def test_source_distribution_has_the_tests_and_what_runs_them(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "tests/test_wheel.py",
        "tests/conftest.py",
        "Makefile",
        "requirements.lock",
        "LICENSE",
        ".ci/run",
        "copier.yml",
    } <= names
    assert not [name for name in names if name.startswith((".venv", "results", "data/MNIST"))]


@pytest.mark.slow
def test_editable_install_is_a_path_and_no_copy(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (path,) = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert archive.read(path).decode() == str(REPOSITORY)


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert f"## [{PROJECT['version']}]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


class Environment:
    """An empty environment, and an empty folder in which its commands are run."""

    def __init__(self, folder: Path) -> None:
        beside = Path(sys.executable).with_name("uv")
        self._uv = shutil.which("uv") or str(beside)
        assert Path(self._uv).exists(), "uv is needed, which takes from its cache what `make setup` has installed"
        self.place, self.folder = folder / "environment", folder / "empty"
        self.folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VGT_", "MLFLOW", "PYTHON"))}
        self._variables = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self._call(self._uv, "venv", "--python", sys.executable, str(self.place))

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self._variables, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def install(self, *what: str) -> None:
        """Install, in the lock's versions."""
        lock = ("--no-verify-hashes", "--constraint", str(REPOSITORY / "requirements.lock"))
        done = self._call(self._uv, "pip", "install", "--python", str(self.place), *lock, *what)
        assert done.returncode == 0, done.stderr
        self._take_bytecode()

    def _take_bytecode(self) -> None:
        """Link what is compiled here already of the same files, which would take a quarter of a minute anew."""
        here = Path(sysconfig.get_path("purelib"))
        (there,) = self.place.glob("lib/python*/site-packages")
        for compiled in here.rglob("__pycache__"):
            place = there / compiled.relative_to(here)
            if place.parent.is_dir() and not place.exists():
                shutil.copytree(compiled, place, copy_function=os.link)

    def run(self, line: str, *more: str, code: int = 0) -> str:
        """Run `vgt ...` or `python ...` of the environment; return what it prints on both streams."""
        program, *arguments = line.split()
        done = self._call(str(self.place / "bin" / program), *arguments, *more)
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name.replace("_", ".")).write_text(text)


@pytest.mark.slow
def test_wheel_in_an_empty_environment(wheel: Path, empty_database: Path, tmp_path: Path) -> None:
    """Takes its time: six commands load torch and one MLflow, whose files nobody has read from there before."""
    environment = Environment(tmp_path)
    environment.install(*LEAN)
    environment.install("--no-deps", str(wheel))
    _try_probes(environment)
    extras = {each for name in ("mlflow", "vision", "report") for each in PROJECT["optional-dependencies"][name]}
    environment.install(*(set(PROJECT["dependencies"]) - extras))
    _try_without_extras(environment)
    environment.install(str(wheel))
    # What MLflow takes longest for has nothing to do with where it is installed.
    shutil.copy(empty_database, environment.folder / "results" / "mlflow.db")
    _try_commands(environment)


def _try_probes(environment: Environment) -> None:
    environment.write(probes_py=PROBES)
    printed = environment.run("python probes.py")
    assert "gradient_rms" in printed
    assert "torch.Size([3, 5, 2])" in printed
    assert "no picture of what the probes have measured: matplotlib is not installed" in printed
    assert str(environment.place) in environment.run("python -c", "import vgtemplate; print(vgtemplate.__file__)")


def _try_without_extras(environment: Environment) -> None:
    """What needs an extra says which, in one line; a training goes on without MLflow."""
    environment.write(own_py=OWN, own_yaml=OWN_YAML)
    trained = " ".join(environment.run("vgt train own.yaml --seeds 2").split())
    assert "mlflow is not installed: pip install 'vgtemplate[mlflow]'; the records are complete" in trained
    asked = {
        "vgt phase-diagram tanh --plot tanh.png": "matplotlib is not installed: pip install 'vgtemplate[report]'",
        "vgt ui": "mlflow is not installed: pip install 'vgtemplate[mlflow]'",
        "vgt train mlp-variants --dataset digits": "scikit-learn is not installed: pip install 'vgtemplate[vision]'",
        "vgt data fetch mnist": "torchvision is not installed: pip install 'vgtemplate[vision]'",
    }
    for line, text in asked.items():
        (said,) = environment.run(line, code=2).splitlines()
        assert said.startswith("error: "), said
        assert said.endswith(text), said
    assert "vanishes" in environment.run("vgt predict --activation sigmoid --depth 10")


def _try_commands(environment: Environment) -> None:
    """Every command works, with the claims, bases and experiments that the wheel carries."""
    run = "--dataset digits --seeds 2"
    assert f"version {PROJECT['version']}" in environment.run("vgt --version")
    carried = environment.place.resolve() / "lib"
    assert f"claimsin{carried}" in "".join(environment.run("vgt claims").split())
    assert json.loads(environment.run("vgt claims --json"))
    assert "1 confirmed" in environment.run(f"vgt reproduce relu-keeps-gradient {run} --jobs 1 --no-tracking")
    environment.run(f"vgt report {run} --no-tracking")
    assert "relu-keeps-gradient" in (environment.folder / "results" / "report" / "index.html").read_text()
    train = "vgt train mlp-variants --arm plain --seeds 1 --dataset digits --set training.steps=20"
    assert "mlp-variants on digits" in environment.run(f"{train} --no-tracking")
    assert "sent" in environment.run("vgt track sync")  # what the training without mlflow could not
    assert "missed nothing" in environment.run("vgt track sync")
    assert "digits" in environment.run("vgt data list")
    (said,) = environment.run(f"vgt tune elu-converges-faster {run}", code=2).splitlines()
    assert "take them along first: cp -r" in said
    assert "my-project" in environment.run("vgt new my-project")
    written = files_below(environment.folder / "my-project")
    assert {".gitignore", ".devcontainer/devcontainer.json", "my_project/model.py"} <= written
    assert len(written) >= len(files_below(REPOSITORY / "vgtemplate" / "project"))
