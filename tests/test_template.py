"""What README and docs/architecture.md promise to whoever takes the template, done as they say, from outside.

The tests work on copies of the repository with an environment of their own: an editable install would find in the first
checkout what was deleted in the copy. There are two, since to load the code of a copy takes its time: one without the
laboratory, and one to which everything is added of which the docs say that it is one function or one file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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


FORKS = """
import gc, json, os, sys, traceback
import torchvision, sklearn.datasets, scipy.stats
import pytest
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
            os.environ["VGT_RESULTS_DIR"], program, *sys.argv[1:] = json.loads(line)
            sys.argv[0] = program
            code = int(pytest.main(sys.argv[1:])) if program == "pytest" else main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
gc.unfreeze()
"""


class Copy:
    """A copy of the repository, with an environment that holds its dependencies but not the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "copy"
        self.results = "results"
        self._place = folder / "environment"
        self._process: subprocess.Popen[str] | None = None
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "MNIST", "results")
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=ignored)
            else:
                shutil.copy(source, self.folder / name)
        venv.create(self._place, with_pip=False, symlinks=True)
        (packages,) = self._place.glob("lib/python*/site-packages")
        # A path file's lines are put on the path as they are: the editable install beside the packages is not followed.
        (packages / "copy.pth").write_text(f"{self.folder}\n{sysconfig.get_path('purelib')}\n")

    def _start(self) -> subprocess.Popen[str]:
        """Start the copy's Python, which loads the copy's code; each command forks from it."""
        if self._process is None:
            left_out = ("VGT_", "MLFLOW", "PYTEST")
            kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
            self._process = subprocess.Popen(
                [str(self._place / "bin" / "python"), "-c", FORKS],
                cwd=self.folder,
                env=kept | {"COLUMNS": "120", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def run(self, line: str) -> str:
        """Run a command line, of vgt or pytest, and return what it prints; whatever fails, fails the test."""
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([self.results, *line.split()]) + "\n")
        process.stdin.flush()
        code = process.stdout.readline()
        out, err = ((self.folder.parent / name).read_text() for name in ("out", "err"))
        assert code == "0\n", f"{line}\n{out}\n{err}"
        return out

    def vgt(self, line: str) -> str:
        return self.run(f"vgt {line}")

    def add(self, path: str, text: str) -> None:
        """Write a function below the others of a file."""
        place = self.folder / path
        place.write_text(place.read_text() + text)

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A copy without the laboratory."""
    copy = Copy(tmp_path_factory.mktemp("bare"))
    for name in LABORATORY:
        shutil.rmtree(copy.folder / name)
    yield copy
    copy.end()


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A copy with an activation, an initialiser, a data set, a metric and two claims more."""
    copy = Copy(tmp_path_factory.mktemp("extended"))
    copy.add("vgtemplate/nn/activations.py", MISH)
    copy.add("vgtemplate/nn/initialisers.py", NARROW)
    copy.add("vgtemplate/data/sources.py", BARS)
    copy.add("vgtemplate/metrics/trained.py", MIDDLE)
    claims = copy.folder / "experiments" / "claims"
    (claims / "middle-is-alive.yaml").write_text(CLAIM)
    claim = (claims / "relu-keeps-gradient.yaml").read_text()
    own = claim.replace("relu-keeps-gradient", "mish-keeps-gradient").replace("activation: relu", "activation: mish")
    (claims / "mish-keeps-gradient.yaml").write_text(own)
    yield copy
    copy.end()


@pytest.fixture(scope="module")
def judged(extended: Copy) -> tuple[dict[str, Any], Path]:
    """Both claims, judged by one worker, and the report of them: the verdicts by id, and the report's folder."""
    extended.results, run = "judged", "--dataset digits --seeds 2"
    found = json.loads(
        extended.vgt(f"reproduce mish-keeps-gradient middle-is-alive {run} --jobs 1 --no-tracking --json")
    )
    extended.vgt(f"report {run} --no-tracking")
    return {each["id"]: each for each in found}, extended.folder / extended.results / "report"


@pytest.fixture
def copy(extended: Copy, request: pytest.FixtureRequest) -> Copy:
    """The extended copy, with results of the test's own."""
    extended.results = request.node.name
    return extended


TRAIN = (
    "train experiments/mlp-variants.yaml --arm plain --dataset digits --seeds 2 --set training.steps=30 --no-tracking"
)


@pytest.mark.slow
def test_without_the_laboratory_the_template_works(bare: Copy) -> None:
    """Takes its time, as does the first below: the code of a copy is compiled and loaded, and torch with it."""
    vgt = bare.vgt
    assert "reproduce" not in vgt("--help")
    assert json.loads(vgt(f"{TRAIN} --dry-run"))[0]["arm"] == "plain"
    assert "gradient slope" in vgt(f"{TRAIN} --set training.validate_every=10 --set data.num_validation=200")
    (model,) = (bare.folder / "results").glob("*/best.pt")
    Image.new("L", (8, 8)).save(bare.folder / "black.png")
    assert "black.png" in vgt(f"classify {model} black.png")
    assert "vanishes" in vgt("predict --activation sigmoid --depth 10")
    assert "plain" in vgt("predict --records")
    assert "critical" in vgt("phase-diagram tanh --plot tanh.png")
    assert "digits" in vgt("data list")
    assert "intact" in vgt("data list")
    assert "missed nothing" in vgt("track sync")
    assert "MLflow" in vgt("ui --help")
    for experiment in sorted((bare.folder / "experiments").glob("*.yaml")):
        vgt(f"train {experiment.relative_to(bare.folder)} --dry-run --dataset digits --seeds 1")


@pytest.mark.slow
def test_without_the_laboratory_the_tests_pass(bare: Copy) -> None:
    collected = bare.run("pytest --collect-only -q")
    counts = [int(line.rpartition(": ")[2]) for line in collected.splitlines() if re.match(r"tests/\S+: \d+$", line)]
    assert sum(counts) > 500
    fast = "tests/core/test_architecture.py tests/core/config/test_catalogue.py tests/core/theory/test_phase.py"
    bare.run(f"pytest -q -x {fast}")


@pytest.mark.slow
def test_activation_is_one_function(judged: tuple[dict[str, Any], Path], copy: Copy) -> None:
    """Takes its time where it is the first: the code of the copy is compiled and loaded, and torch with it, twice."""
    verdicts, report = judged
    assert verdicts["mish-keeps-gradient"]["verdict"] == "confirmed"
    assert "mish-keeps-gradient" in (report / "index.html").read_text()
    assert "mish-keeps-gradient" in (report / "theory.html").read_text()
    table = copy.vgt(f"{TRAIN} --set model.activation=mish --variant plain")
    predicted = json.loads(copy.vgt("predict --activation mish --depth 20 --json"))["gradient_slope"]
    assert predicted == pytest.approx(json.loads(copy.vgt("predict --records --json"))[0]["predicted"], abs=0.01)
    assert "in theory" in table
    copy.vgt("phase-diagram mish --plot mish.png")
    assert (copy.folder / "mish.png").stat().st_size > 10_000


@pytest.mark.slow
def test_initialiser_is_one_function(copy: Copy) -> None:
    copy.vgt(f"{TRAIN} --set model.initialiser=narrow --set model.activation=tanh")
    (found,) = json.loads(copy.vgt("predict --records --json"))
    assert found["predicted"] == pytest.approx(found["median"], abs=0.05)


@pytest.mark.slow
def test_data_set_is_one_function(copy: Copy, empty_database: Path) -> None:
    """Takes its time: MLflow is loaded, a worker is started, and MLflow's database is created if none is there yet."""
    (copy.folder / copy.results).mkdir()
    shutil.copy(empty_database, copy.folder / copy.results / "mlflow.db")
    assert "horizontal and vertical bars" in copy.vgt("data list")
    copy.vgt("data verify bars")
    train = "train experiments/mlp-variants.yaml --arm residual --dataset bars --seeds 2 --set training.steps=40"
    assert "on bars" in copy.vgt(train)
    copy.vgt("predict --activation tanh --dataset bars")
    copy.vgt("reproduce two-layer-speed-gap --dataset bars --seeds 2 --jobs 1 --no-tracking")
    copy.vgt("report --dataset bars --seeds 2 --no-tracking")
    assert "horizontal and vertical bars" in (copy.folder / copy.results / "report" / "index.html").read_text()
    assert "missed nothing" in copy.vgt("track sync")


@pytest.mark.slow
def test_metric_is_one_function_and_a_claim_one_file(judged: tuple[dict[str, Any], Path]) -> None:
    verdicts, report = judged
    result = verdicts["middle-is-alive"]
    assert (result["verdict"], result["articles"]) == ("confirmed", [])
    page = (report / "index.html").read_text()
    assert "middle-is-alive" in page
    assert "middle gradient (decades)" in page


@pytest.mark.slow
def test_the_tests_take_what_was_added(copy: Copy) -> None:
    files = "config/test_catalogue.py nn/test_activations.py data/test_sources.py"
    copy.run("pytest -q tests/lab/test_register.py " + " ".join(f"tests/core/{file}" for file in files.split()))
