"""Whatever a user names on the command line, in a file or in the environment: it works, or it is one line and code 2.

The real command line, in this process; `vgt train --dry-run` resolves, checks and keys everything and trains nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile import (
    DRY,
    EDITS,
    FEW,
    HOWS,
    NASTY,
    NUMBERS_OF_SEEDS,
    PLACES,
    SCALARS,
    TREES,
    UNWRITABLE,
    WORDS,
    assert_answered,
    edit_and_plan,
    make_places,
    mutate_and_plan,
    near_names,
)
from vgtemplate.config import catalogue
from vgtemplate.config.schema import ArmConfig

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
NAMES = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
Call = Callable[..., Any]

SETTINGS = [f"{name}.{key}" for name, section in ArmConfig().model_dump().items() for key in section]
VALUES = ("0", "1", "2", "0.5", "1e-3", "true", "none", "null", "relu", "selu", "he_normal", "[3, 5]", "unit", "norm")
OVERRIDES = st.one_of(
    st.builds("{}={}".format, st.sampled_from(SETTINGS), st.sampled_from(VALUES)),
    st.builds("{}={}".format, st.sampled_from(SETTINGS), SCALARS),
    st.builds("{}={}".format, st.sampled_from(SETTINGS), st.text("{}[]:,&*!|>-?%@'\"# \n\tab01.<~", max_size=20)),
    st.builds("{}={}".format, WORDS, WORDS),
    WORDS,
    NASTY,
)
MUTATIONS = (st.data(), st.sampled_from(NAMES), HOWS, TREES)


def copy_experiment(name: str, folder: Path) -> Path:
    """Copy an experiment with its bases to a folder of the test's own."""
    for path in [*EXPERIMENTS.glob("bases/*.yaml"), EXPERIMENTS / f"{name}.yaml"]:
        target = folder / path.relative_to(EXPERIMENTS)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder / f"{name}.yaml"


@FEW
@given(*MUTATIONS)
def test_an_experiment_with_one_thing_changed(
    call_vgt: Call, tmp_path: Path, data: Any, name: str, how: str, value: Any
) -> None:
    """Takes its time, as those below do: sixty whole calls, each of which plans an experiment."""
    mutate_and_plan(call_vgt, copy_experiment(name, tmp_path), data, how, value)


@FEW
@given(st.sampled_from(NAMES), EDITS)
def test_an_experiment_with_characters_changed(
    call_vgt: Call, tmp_path: Path, name: str, edits: list[tuple[float, int, str]]
) -> None:
    edit_and_plan(call_vgt, copy_experiment(name, tmp_path), edits)


def override_and_plan(call_vgt: Call, folder: Path, overrides: list[str]) -> None:
    path = folder / "it.yaml"
    path.write_text("arms: {a: {}, b: {model: {initialiser: {name: normal, std: 1.0}}}}")
    arguments = [text for override in overrides for text in ("--set", override)]
    assert_answered(call_vgt("train", str(path), *arguments, *DRY))


@FEW
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
@example(["data.dataset=image_folder", "data.path=~nobody-there"])
@example(["data.dataset=image_folder", "data.path=" + "x" * 5000])
@example(["data.dataset=image_folder", 'data.path="a\\0b"'])
@example(["data.dataset=image_folder", 'data.path="\\ud800"'])
@example(["data.dataset=image_folder", "data.path=/"])
def test_any_override(call_vgt: Call, tmp_path: Path, overrides: list[str]) -> None:
    override_and_plan(call_vgt, tmp_path, overrides)


ANY_NAME = near_names([*NAMES, *catalogue.DATASETS, *catalogue.BLOCKS])


def name_and_plan(call_vgt: Call, folder: Path, option: str, name: str) -> None:
    path = folder / "it.yaml"
    path.write_text("arms: {a: {}, b: {}}")
    assert_answered(call_vgt("train", str(path), f"{option}={name}", *(DRY if option != "--dataset" else DRY[2:])))


@FEW
@given(st.sampled_from(["--arm", "--variant", "--dataset", "--seeds", "--first-seed", "--accelerator"]), ANY_NAME)
def test_any_name_of_train(call_vgt: Call, tmp_path: Path, option: str, name: str) -> None:
    name_and_plan(call_vgt, tmp_path, option, name)


@pytest.mark.parametrize("number", NUMBERS_OF_SEEDS)
def test_number_of_seeds_that_cannot_be(call_vgt: Call, tmp_path: Path, number: str) -> None:
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    ended = call_vgt("train", "it.yaml", "--dry-run", f"--seeds={number}", "--dataset", "digits")
    assert ended.refused, ended


@FEW
@given(ANY_NAME)
def test_any_path_of_an_experiment(call_vgt: Call, name: str) -> None:
    assert_answered(call_vgt("train", *DRY, "--", name))


def bomb(levels: int) -> str:
    """Mappings that each merge the one before twice: 2**levels keys, all the same."""
    steps = "".join(f"  m{level}: &m{level} {{<<: [*m{level - 1}, *m{level - 1}]}}\n" for level in range(1, levels))
    return f"arms:\n  m0: &m0 {{model: {{depth: 2}}}}\n{steps}"


HOSTILE = {
    "objects of Python": "arms: {a: !!python/object/apply:os.system [touch hacked]}",
    "a name of Python": "arms: {a: {model: {depth: !!python/name:os.system ''}}}",
    "an arm that holds itself": "arms: {a: &a {model: *a}}",
    "arms that hold themselves": "arms: &a {a: *a}",
    "a list that holds itself": "arms: {a: {model: {width: &a [*a]}}}",
    "a key that holds itself": "&a {? *a : 1}",
    "a billion laughs": "arms:\n  a: {model: {width: &l0 [1]}}\n"
    + "".join(f"  b{i}: {{model: {{width: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]}}}}\n" for i in range(1, 12)),
    "merges that double, and a mistake": bomb(64) + "  m: {modle: 1}\n",
    "a deep list": "arms: " + "[" * 3000,
    "a deep mapping": "arms: " + "{a: " * 3000,
    "a number of 5000 digits": "arms: {a: {optimiser: {lr: " + "9" * 5000 + "}}}",
    "a path for a base": "base: ../../secret\narms: {a: {}}",
    "an absolute base": "base: /etc/passwd\narms: {a: {}}",
    "a path for an arm": "arms: {../../a: {}}",
    "half a character": 'arms: {a: {}}\nnotes: "\\ud800"',
    "half a character for a path": 'arms: {a: {data: {dataset: image_folder, path: "\\udcff"}}}',
    "an empty file": "",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_yaml_is_one_line(call_vgt: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "it.yaml").write_text(text)
    ended = call_vgt("train", "it.yaml", *DRY)
    assert ended.refused, ended
    assert len(ended.err) < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["it.yaml"]


def test_file_whose_name_is_no_text_is_one_line(call_vgt: Call, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.yaml")
    path.write_text("arms: {a: {}}")
    ended = call_vgt("train", str(path), *DRY)
    assert ended.refused, ended
    assert "rename the file" in ended.err


def test_merges_that_double_are_one_mapping(call_vgt: Call, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(bomb(64))
    ended = call_vgt("train", "it.yaml", "--arm", "m63", *DRY)
    assert ended.succeeded, ended
    assert json.loads(ended.out)[0]["configuration"]["model"]["depth"] == 2


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dataset", ["digits", "mnist", "auto", "kmnist", "cifar10"])
def test_data_folder_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, dataset: str
) -> None:
    monkeypatch.setenv("VGT_DATA_DIR", make_places(tmp_path)[place])
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    ended = call_vgt("train", "it.yaml", "--dataset", dataset, "--dry-run")
    assert_answered(ended)
    if dataset not in ("digits", "auto"):
        assert ended.refused
    for command in ("list", "verify"):
        looked = call_vgt("data", command)
        assert looked.refused or looked.err == "", looked


@pytest.mark.parametrize("place", UNWRITABLE)
def test_results_folder_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("VGT_RESULTS_DIR", make_places(tmp_path)[place])
    (tmp_path / "it.yaml").write_text("arms: {a: {training: {steps: 1}}}")
    ended = call_vgt("train", "it.yaml", "--dataset", "digits", "--no-tracking")
    assert ended.refused, ended
    assert "the results folder cannot be written" in ended.err


def test_no_command_at_all_is_answered_with_the_help(call_vgt: Call) -> None:
    ended = call_vgt()
    assert ended.code == 2
    assert ended.err.startswith("Usage: vgt ")
    assert len(ended.err.splitlines()) > 10


@pytest.mark.parametrize("gain", ["1e300", "0", "-1", "nan", "inf"])
def test_gain_beyond_all_numbers_is_refused(call_vgt: Callable[..., Any], gain: str) -> None:
    ended = call_vgt("predict", "--activation", "tanh", "--gain", gain)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert "--gain" in ended.err


@pytest.mark.slow  # each starts Python anew
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["data", "list"], ["predict", "--activation", "tanh", "--json"]])
def test_full_output_is_told_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        code = "import sys; from vgtemplate.cli.main import main; sys.argv[0] = 'vgt'; main()"
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert (ended.returncode, ended.stderr) == (2, "error: the output cannot be written (No space left on device)\n")
