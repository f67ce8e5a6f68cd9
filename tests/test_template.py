"""What README and docs/architecture.md promise to whoever takes the template, done as they say, from outside.

Each test works on a copy of the repository with an environment of its own: an editable install would find in the first
checkout what was deleted in the copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
COPIED = ("vgtemplate", "experiments", "tests", "docs", "benchmarks", "data", "README.md", "Makefile", "pyproject.toml")
LABORATORY = ("vgtemplate/lab", "tests/lab", "experiments/claims")

MISH = '''

@activation("Misra 2019", max_derivative=1.0885, initialiser="he_normal")
def mish(z: Tensor) -> Tensor:
    """Return z tanh(log(1 + exp(z)))."""
    return F.mish(z)
'''
NARROW = '''

@initialiser("ours: half of LeCun's deviation")
def narrow(shape: Shape, fans: Fans, generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1/(4 fan_in))."""
    return torch.randn(shape, generator=generator) / math.sqrt(4 * fans.fan_in)
'''
BARS = '''

@dataset("ours: horizontal and vertical bars, 8x8")
def bars(_: DataConfig, __: Path) -> Images:
    """Draw an image of one bar each."""
    def draw(count: int, first: int) -> tuple[Bytes, Labels]:
        pixels = np.zeros((count, 1, 8, 8), dtype=np.uint8)
        for index in range(count):
            if index % 2:
                pixels[index, 0, (index + first) % 8] = 255
            else:
                pixels[index, 0, :, (index + first) % 8] = 255
        return pixels, as_labels(np.arange(count) % 2)

    return Images(*draw(2000, 0), *draw(400, 3), classes=("standing", "lying"), name="bars", fingerprint="")
'''
MIDDLE = '''

@metric("log10 of the gradient at the middle hidden layer", unit="decades")
def middle_gradient(record: Record) -> Array:
    """Return log10 of the RMS gradient at the middle hidden layer at step 0."""
    profile = record.probe("gradient_rms")
    return np.log10(profile[:, profile.shape[1] // 2])
'''
CLAIM = """\
id: middle-is-alive
articles: []
statement: A tanh network of ten layers has a gradient in its middle.
kind: initial
base: initial
arms:
  tanh: {model: {activation: tanh, depth: 10}}
parts:
  - {metric: middle_gradient, arms: [tanh], threshold: "> -10"}
literature: Nobody has asked.
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, with an environment that holds its dependencies but not the project."""
    folder = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "MNIST", "results")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    venv.create(tmp_path / "environment", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    # A path file's lines are put on the path as they are: the editable install beside the packages is not followed.
    (packages / "copy.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    return folder


@pytest.fixture
def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VGT_", "MLFLOW", "PYTEST"))}
    return kept | {"VGT_RESULTS_DIR": "results", "COLUMNS": "120", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def python(copy: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Run the copy's Python in the copy's folder and return what it prints; whatever fails, fails the test."""

    def call(*arguments: str) -> str:
        command = [str(copy.parent / "environment" / "bin" / "python"), *arguments]
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return call


FORKS = """
import gc, json, os, sys, traceback
import torchvision, sklearn.datasets, scipy.stats
import vgtemplate.training.run, vgtemplate.cli.commands.train
from vgtemplate.cli.main import main

gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for number, name in enumerate((os.devnull, "../out", "../err")):
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            sys.argv = ["vgt", *json.loads(line)]
            main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
gc.unfreeze()
"""


@pytest.fixture
def vgt(copy: Path, environment: dict[str, str]) -> Iterator[Callable[..., str]]:
    """Run a command line of the copy's vgt; the code of the copy is read once, at the first, and each line forks."""
    started: list[subprocess.Popen[str]] = []

    def call(line: str) -> str:
        if not started:
            command = [str(copy.parent / "environment" / "bin" / "python"), "-c", FORKS]
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, cwd=copy, env=environment, **pipes))
        (process,) = started
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(line.split()) + "\n")
        process.stdin.flush()
        code = process.stdout.readline()
        out, err = ((copy.parent / name).read_text() for name in ("out", "err"))
        assert code == "0\n", f"{line}\n{out}\n{err}"
        return out

    yield call
    for process in started:
        process.communicate(timeout=60)


def add(path: Path, text: str) -> None:
    """Write a function below the others of a file."""
    path.write_text(path.read_text() + text)


TRAIN = (
    "train experiments/mlp-variants.yaml --arm plain --dataset digits --seeds 2 --set training.steps=30 --no-tracking"
)


@pytest.mark.slow
def test_without_the_laboratory_the_template_works(
    copy: Path, python: Callable[..., str], vgt: Callable[..., str]
) -> None:
    for name in LABORATORY:
        shutil.rmtree(copy / name)
    assert "reproduce" not in vgt("--help")
    assert json.loads(vgt(f"{TRAIN} --dry-run"))[0]["arm"] == "plain"
    assert "gradient slope" in vgt(f"{TRAIN} --set training.validate_every=10 --set data.num_validation=200")
    (model,) = (copy / "results").glob("*/best.pt")
    python("-c", "from PIL import Image; Image.new('L', (8, 8)).save('black.png')")
    assert "black.png" in vgt(f"classify {model} black.png")
    assert "vanishes" in vgt("predict --activation sigmoid --depth 10")
    assert "plain" in vgt("predict --records")
    assert "critical" in vgt("phase-diagram tanh --plot tanh.png")
    assert "digits" in vgt("data list")
    assert "intact" in vgt("data list")
    assert "missed nothing" in vgt("track sync")
    assert "MLflow" in vgt("ui --help")
    for experiment in sorted((copy / "experiments").glob("*.yaml")):
        vgt(f"train {experiment.relative_to(copy)} --dry-run --dataset digits --seeds 1")


@pytest.mark.slow
def test_without_the_laboratory_the_tests_pass(copy: Path, python: Callable[..., str]) -> None:
    for name in LABORATORY:
        shutil.rmtree(copy / name)
    collected = python("-m", "pytest", "--collect-only", "-q")
    counts = [int(line.rpartition(": ")[2]) for line in collected.splitlines() if re.match(r"tests/\S+: \d+$", line)]
    assert sum(counts) > 500
    fast = ["tests/core/test_architecture.py", "tests/core/config/test_catalogue.py", "tests/core/theory/test_phase.py"]
    python("-m", "pytest", "-q", "-x", "-m", "not slow and not real_data", *fast)


@pytest.mark.slow
def test_activation_is_one_function(copy: Path, python: Callable[..., str], vgt: Callable[..., str]) -> None:
    add(copy / "vgtemplate/nn/activations.py", MISH)
    table = vgt(f"{TRAIN} --set model.activation=mish --variant plain")
    predicted = json.loads(vgt("predict --activation mish --depth 20 --json"))["gradient_slope"]
    assert predicted == pytest.approx(json.loads(vgt("predict --records --json"))[0]["predicted"], abs=0.01)
    assert "in theory" in table
    vgt("phase-diagram mish --plot mish.png")
    assert (copy / "mish.png").stat().st_size > 10_000
    claim = (copy / "experiments/claims/relu-keeps-gradient.yaml").read_text()
    own = claim.replace("relu-keeps-gradient", "mish-keeps-gradient").replace("activation: relu", "activation: mish")
    (copy / "experiments/claims/mish-keeps-gradient.yaml").write_text(own)
    vgt("reproduce mish-keeps-gradient --dataset digits --seeds 2 --jobs 1 --no-tracking")
    vgt("report --dataset digits --seeds 2 --no-tracking")
    assert "mish-keeps-gradient" in (copy / "results/report/index.html").read_text()
    assert "mish-keeps-gradient" in (copy / "results/report/theory.html").read_text()
    python("-m", "pytest", "-q", "tests/core/config/test_catalogue.py", "tests/core/nn/test_activations.py")


@pytest.mark.slow
def test_initialiser_is_one_function(copy: Path, vgt: Callable[..., str]) -> None:
    add(copy / "vgtemplate/nn/initialisers.py", NARROW)
    vgt(f"{TRAIN} --set model.initialiser=narrow --set model.activation=tanh")
    (found,) = json.loads(vgt("predict --records --json"))
    assert found["predicted"] == pytest.approx(found["median"], abs=0.05)


@pytest.mark.slow
def test_data_set_is_one_function(copy: Path, python: Callable[..., str], vgt: Callable[..., str]) -> None:
    add(copy / "vgtemplate/data/sources.py", BARS)
    assert "horizontal and vertical bars" in vgt("data list")
    vgt("data verify bars")
    table = vgt("train experiments/mlp-variants.yaml --arm residual --dataset bars --seeds 2 --set training.steps=40")
    assert "on bars" in table
    vgt("predict --activation tanh --dataset bars")
    vgt("reproduce two-layer-speed-gap --dataset bars --seeds 2 --jobs 1 --no-tracking")
    vgt("report --dataset bars --seeds 2 --no-tracking")
    assert "horizontal and vertical bars" in (copy / "results/report/index.html").read_text()
    assert "missed nothing" in vgt("track sync")
    python("-m", "pytest", "-q", "tests/core/config/test_catalogue.py", "tests/core/data/test_sources.py")


@pytest.mark.slow
def test_metric_is_one_function_and_a_claim_one_file(
    copy: Path, python: Callable[..., str], vgt: Callable[..., str]
) -> None:
    add(copy / "vgtemplate/metrics/trained.py", MIDDLE)
    (copy / "experiments/claims/middle-is-alive.yaml").write_text(CLAIM)
    (result,) = json.loads(vgt("reproduce middle-is-alive --dataset digits --seeds 2 --jobs 1 --no-tracking --json"))
    assert (result["verdict"], result["articles"]) == ("confirmed", [])
    vgt("report --dataset digits --seeds 2 --no-tracking")
    page = (copy / "results/report/index.html").read_text()
    assert "middle-is-alive" in page
    assert "middle gradient (decades)" in page
    python("-m", "pytest", "-q", "tests/core/config/test_catalogue.py", "tests/lab/test_register.py")
