import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
Vgt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def vgt(tmp_path: Path) -> Vgt:
    """Run the real command in a folder of its own, with the project's experiments and no data sets."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "VGT_RESULTS_DIR": str(tmp_path / "results"),
            "VGT_DATA_DIR": str(tmp_path / "data"),
            "VGT_EXPERIMENTS_DIR": str(REPOSITORY / "experiments"),
            "OMP_NUM_THREADS": "1",
        }
        code = "from vgtemplate.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=os.environ | settings | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def assert_refused(done: subprocess.CompletedProcess[str], tmp_path: Path, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    results = tmp_path / "results"
    assert not results.exists() or not any(results.iterdir())


def test_help_imports_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys\n"
        "from vgtemplate.cli.main import vgt\n"
        "try:\n    vgt.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mlflow', 'pytorch_lightning', 'torchvision', 'matplotlib', 'pydantic'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reproduce" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arms: {a: {model: {depht: 3}}}", ("arms.a.model.depht", "did you mean 'depth'")),
        ("arms: {a: {model: {depth: deep}}}", ("arms.a.model.depth", "deep")),
        ("arms: {a: {model: {depth: -3}}}", ("arms.a.model.depth", "-3")),
        ("arms: {a: {model: {activation: rleu}}}", ("arms.a.model.activation", "did you mean 'relu'")),
        ("arms: {a: {optimiser: {lr: banana}}}", ("arms.a.optimiser.lr", "banana")),
        ("arms: {a: [", ("line 1",)),
    ],
)
def test_bad_experiment_is_one_line_and_exit_code_2(
    vgt: Vgt, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    assert_refused(vgt("train", write(tmp_path, text), "--dataset", "digits"), tmp_path, "mine.yaml", *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reproduce", "relu-keeps-gradeint"), ("unknown claim", "did you mean 'relu-keeps-gradient'")),
        (("reproduce", "--article", "bn-rleu"), ("unknown article", "did you mean 'bn-relu'")),
        (("reproduce", "--seeds", "0"), ("--seeds",)),
        (("reproduce", "--dataset", "minst"), ("unknown data set", "did you mean 'mnist'")),
        (("reproduce", "--nonsense"), ("--nonsense",)),
        (("reprodcue",), ("unknown command", "did you mean 'reproduce'")),
        (("train", "missing.yaml"), ("missing.yaml", "no such file")),
    ],
)
def test_bad_command_is_one_line_and_exit_code_2(
    vgt: Vgt, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(vgt(*arguments), tmp_path, *words)


@pytest.mark.parametrize(
    ("override", "word"),
    [("model.depht=3", "depth"), ("model.depth", "section.key=value"), ("optimiser.lr=banana", "banana")],
)
def test_bad_override_names_itself(vgt: Vgt, tmp_path: Path, override: str, word: str) -> None:
    path = write(tmp_path, "arms: {a: {}}")
    assert_refused(vgt("train", path, "--dataset", "digits", "--set", override), tmp_path, override.split("=")[0], word)


def test_unknown_arm_is_answered_with_the_nearest(vgt: Vgt, tmp_path: Path) -> None:
    path = write(tmp_path, "arms: {plain: {}, residual: {}}")
    assert_refused(vgt("train", path, "--arm", "residul", "--dataset", "digits"), tmp_path, "did you mean 'residual'")


def test_unwritable_results_folder_is_refused_before_anything_runs(vgt: Vgt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = vgt(
        "reproduce", "chain-rule-product", "--dataset", "digits", VGT_RESULTS_DIR=str(tmp_path / "file" / "deeper")
    )
    assert_refused(done, tmp_path, "results folder cannot be written", "VGT_RESULTS_DIR")


def test_dry_run_prints_configuration_and_key_and_leaves_nothing(vgt: Vgt, tmp_path: Path) -> None:
    path = write(tmp_path, "arms: {a: {model: {activation: selu}}}")
    done = vgt("train", path, "--dataset", "digits", "--seeds", "2", "--set", "model.depth=20", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert '"depth": 20' in done.stdout
    assert '"name": "lecun_normal"' in done.stdout
    assert '"key": "' in done.stdout
    assert not (tmp_path / "results").exists()


def test_claims_json_lists_every_claim(vgt: Vgt) -> None:
    claims = json.loads(vgt("claims", "--json").stdout)
    assert len(claims) == 55
    assert {claim["kind"] for claim in claims} == {"exact", "timing", "initial", "training"}


def test_arm_of_a_claim_is_trained_with_the_settings_that_were_searched(vgt: Vgt) -> None:
    from vgtemplate.lab.picks import read_picks

    dataset = "digits"
    picks = read_picks(REPOSITORY / "experiments", dataset)["elu-converges-faster"]
    path = str(REPOSITORY / "experiments" / "elu-converges-faster.yaml")
    done = vgt("train", path, "--dataset", dataset, "--dry-run", "--arm", "elu")
    assert json.loads(done.stdout)["configuration"]["optimiser"]["lr"] == picks["elu"].picked["optimiser.lr"]
    overridden = vgt("train", path, "--dataset", dataset, "--dry-run", "--arm", "elu", "--set", "optimiser.lr=7")
    assert json.loads(overridden.stdout)["configuration"]["optimiser"]["lr"] == 7


@pytest.mark.slow
def test_failed_claim_makes_the_exit_code_1(vgt: Vgt, tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    text = (REPOSITORY / "experiments" / "late-layers-learn.yaml").read_text()
    (folder / "late-layers-learn.yaml").write_text(text)
    for base in ("base-training.yaml", "base-full.yaml"):
        (folder / base).write_text((REPOSITORY / "experiments" / base).read_text())
    done = vgt("reproduce", "--dataset", "digits", "--no-tracking", VGT_EXPERIMENTS_DIR=str(folder))
    assert done.returncode == 1
    assert "failed late-layers-learn: " in done.stdout
    assert "run `vgt tune late-layers-learn --dataset digits`" in done.stdout
