"""`vgt` as a process of its own: what it loads, and what it answers to mistakes."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vgtemplate.cli.main import COMMANDS

Vgt = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = {"torch", "mlflow", "pytorch_lightning", "lightning", "torchvision", "matplotlib"}


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


def loaded_by(code: str) -> set[str]:
    """The packages that a process of its own has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_but_what_parses_the_command_line() -> None:
    help_ = "from vgtemplate.cli.main import vgt\nvgt.main(['--help'], standalone_mode=False)"
    assert not loaded_by(help_) & (HEAVY | {"numpy", "scipy", "pydantic", "rich", "yaml"})


def test_no_command_loads_what_is_heavy_before_it_is_called() -> None:
    assert not loaded_by("\n".join(f"import {module}" for module, *_ in COMMANDS.values())) & HEAVY


def test_help_lists_every_command_and_no_name_of_an_earlier_version(vgt: Vgt) -> None:
    done = vgt("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert "predict-images" not in done.stdout
    assert vgt("predict-images", "--help").stdout.splitlines()[1:] == vgt("classify", "--help").stdout.splitlines()[1:]


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
        (("trian",), ("unknown command", "did you mean 'train'")),
        (("train", "missing.yaml", "--nonsense"), ("--nonsense",)),
        (("predict", "--activation", "rleu"), ("unknown activation", "did you mean 'relu'")),
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
    path = write(tmp_path, "arms: {a: {training: {steps: 1}}}")
    done = vgt("train", path, "--dataset", "digits", VGT_RESULTS_DIR=str(tmp_path / "file" / "deeper"))
    assert_refused(done, tmp_path, "results folder cannot be written", "VGT_RESULTS_DIR")


def test_dry_run_prints_every_arm_in_one_document_and_leaves_nothing(vgt: Vgt, tmp_path: Path) -> None:
    path = write(tmp_path, "arms: {a: {model: {activation: selu}}, b: {}}")
    done = vgt("train", path, "--dataset", "digits", "--seeds", "2", "--set", "model.depth=20", "--dry-run")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert [first["arm"], second["arm"]] == ["a", "b"]
    assert first["seeds"] == [0, 1]
    assert first["configuration"]["model"]["depth"] == 20
    assert first["configuration"]["model"]["initialiser"]["name"] == "lecun_normal"
    assert len({first["key"], second["key"]}) == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_while_python_ends_is_one_line(name: str) -> None:
    """Everything is done, and what Python calls at its end would print a traceback for an exception that is none."""
    late = f"import atexit, signal; atexit.register(lambda: signal.raise_signal(signal.{name}))"
    call = f"{late}; from vgtemplate.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", call, "--version"], capture_output=True, text=True)
    assert done.returncode == 128 + signal.Signals[name]
    assert done.stderr == "stopped at once; the same command goes on from the last checkpoint\n"
