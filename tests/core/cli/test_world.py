"""Odd terminals, folders and files, each with the real command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile import NO_FILES, make_no_file
from tests.processes import CALL, LIBRARIES, run_vgt
from vgtemplate.config.errors import UserError
from vgtemplate.data.folder import read_pictures

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SMALL = "notes: é σ\narms: {a: {model: {depth: 2, width: 4}, data: {num_train: 40}, training: {steps: 3}}}"


SERVE = f"""
import gc, json, os, sys
import {", ".join(LIBRARIES)}, vgtemplate.training.run, vgtemplate.cli.commands.train
gc.freeze()
for line in sys.stdin:
    folder, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY), number)
        # As the system hands arguments over: bytes, which Python reads in the encoding that it has chosen.
        sys.argv = ["vgt", *(os.fsdecode(argument.encode("latin-1")) for argument in arguments)]
        code = 70
        try:
            {CALL}
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code)  # to take all of torch apart takes seconds
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
Ended = tuple[int, bytes, bytes]


@pytest.fixture(scope="module")
def call_in_ascii() -> Iterator[Callable[..., Ended]]:
    """Run `vgt` in processes forked from a Python that has chosen its encodings for a terminal of ASCII."""
    told = {**os.environ, "OMP_NUM_THREADS": "1", **ASCII, "VGT_RESULTS_DIR": "é"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], env=told, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout

    def call(folder: Path, *arguments: str) -> Ended:
        print(json.dumps([str(folder), *(each.encode().decode("latin-1") for each in arguments)]), file=process.stdin)
        process.stdin.flush()
        code = int(process.stdout.readline())
        return code, (folder / "out").read_bytes(), (folder / "err").read_bytes()

    yield call
    process.stdin.close()
    process.wait(60)


IN_ASCII = {
    "help": (0, ["--help"]),
    "predict": (0, ["predict", "--activation", "selu", "--plot", "é.png"]),
    "predict as JSON": (0, ["predict", "--activation", "selu", "--json"]),
    "phase diagram": (0, ["phase-diagram", "tanh", "--plot", "σ.png"]),
    "records": (2, ["predict", "--records"]),
    "name that is no text there": (2, ["train", "é.yaml"]),
    "list of records": (0, ["records", "list"]),
    "data": (0, ["data", "list"]),
    "train": (0, ["train", "it.yaml", "--dataset", "digits", "--seeds", "1", "--no-tracking"]),
    "dry run": (0, ["train", "it.yaml", "--dataset", "digits", "--dry-run"]),
    "sync": (0, ["track", "sync"]),
    "project": (0, ["new", "my-project"]),
    "unknown command": (2, ["trän"]),
    "unknown file": (2, ["train", "☃.yaml"]),
    "unknown picture": (2, ["classify", "é.pt", "☃.png"]),
    "unknown experiment": (2, ["ui", "é"]),
}


@pytest.mark.slow  # the first of them starts Python anew
@pytest.mark.parametrize("name", IN_ASCII)
def test_terminal_that_knows_ascii_alone(tmp_path: Path, call_in_ascii: Callable[..., Ended], name: str) -> None:
    expected, arguments = IN_ASCII[name]
    (tmp_path / "it.yaml").write_text(SMALL, encoding="utf-8")
    code, out, err = call_in_ascii(tmp_path, *arguments)
    assert code == expected, err.decode()
    (out + err).decode("ascii")
    assert b"Traceback" not in err
    assert code == 0 or len(err.splitlines()) == 1


def test_folder_that_was_deleted_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); {CALL}"
    ended = subprocess.run([sys.executable, "-c", code, "data", "list"], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: the working folder was deleted; change to one that exists\n"


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("it.yaml", ["train", "it.yaml", "--dataset", "digits"]),
        ("it.yaml", ["predict", "--arm", "it.yaml:a"]),
        ("it.pt", ["classify", "it.pt", "good.png"]),
        ("base.yaml", ["train", "based.yaml", "--dataset", "digits"]),
    ],
    ids=["experiment", "arm", "network", "base"],
)
def test_input_that_is_no_file_is_one_line(tmp_path: Path, kind: str, name: str, arguments: list[str]) -> None:
    make_no_file(tmp_path, kind, name)
    (tmp_path / "based.yaml").write_text("base: base\narms: {a: {}}")
    ended = run_vgt(*arguments, cwd=tmp_path, environment={**os.environ, "VGT_RESULTS_DIR": "results"})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert name in ended.stderr or "base" in ended.stderr


@pytest.mark.parametrize("kind", NO_FILES)
def test_picture_that_is_no_file_is_one_line(tmp_path: Path, kind: str) -> None:
    path = make_no_file(tmp_path, kind, "it.png")
    with pytest.raises(UserError, match="cannot be read as a picture"):
        read_pictures([path], (1, 8, 8))


@pytest.mark.parametrize("kind", NO_FILES)
def test_data_file_that_is_no_file_is_not_trained_on(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        make_no_file(folder, kind, name)
    environment = {**os.environ, "VGT_RESULTS_DIR": "results", "VGT_DATA_DIR": str(tmp_path)}
    ended = run_vgt("train", "mlp-variants", "--dataset", "mnist", cwd=tmp_path, environment=environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


@pytest.mark.slow  # trains, and asks what was trained
def test_names_that_are_no_text_are_drawn_to_and_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"p\xff.png")
    environment = {**os.environ, "VGT_RESULTS_DIR": os.fsdecode(b"r\xff")}
    drawn = run_vgt("predict", "--activation", "tanh", "--plot", name, cwd=tmp_path, environment=environment)
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert drawn.stdout.endswith("drawn: p\\udcff.png\n")
    (tmp_path / "it.yaml").write_text(SMALL, encoding="utf-8")
    settings = ("--dataset", "digits", "--seeds", "1", "--no-tracking")
    trained = run_vgt("train", "it.yaml", *settings, cwd=tmp_path, environment=environment)
    assert trained.returncode == 0, trained.stderr
    (model,) = (tmp_path / environment["VGT_RESULTS_DIR"]).glob("*/last.pt")
    ended = run_vgt("classify", str(model), name, cwd=tmp_path, environment=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "p\\udcff.png" in ended.stdout


@pytest.mark.slow  # trains, four times
def test_clock_that_is_set_back_changes_nothing(tmp_path: Path) -> None:
    """Ten years back between the start and the end, with files that are younger than now."""
    (tmp_path / "it.yaml").write_text(SMALL, encoding="utf-8")
    code = f"import time; real = time.time; time.time = lambda: real() - 3e8 * (time.monotonic() - {{}} > 0.2); {CALL}"
    keys = []
    for results, started in (("usual", "float('inf')"), ("set-back", "time.monotonic()")):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "VGT_RESULTS_DIR": results}
        for again in (False, True):
            arguments = ["train", "it.yaml", "--dataset", "digits", "--seeds", "1", "--no-tracking"]
            told = code.replace("{}", started)
            ended = run_vgt(*arguments, cwd=tmp_path, environment=environment, code=told)
            # All that is said there is how far it is.
            lines = [line for line in ended.stderr.splitlines() if " loss " not in line]
            assert (ended.returncode, lines) == (0, [])
            assert ("already trained" in ended.stdout) == again
        (record,) = (tmp_path / results).glob("*/record.json")
        content = json.loads(record.read_bytes())
        assert content["wall_seconds"] > 0
        keys.append((content["key"], content["weights_sha256"]))
        os.utime(record, (2**33, 2**33))
    assert keys[0] == keys[1]
