"""Whatever a user names on the command line, in a file or in the environment: it works, or it is one line and code 2.

The real command line, in this process; `vgt train --dry-run` resolves, checks and keys everything and trains nothing.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from vgtemplate.config import catalogue
from vgtemplate.config.schema import ArmConfig

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = REPOSITORY / "experiments"
CLAIMS = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if not path.stem.startswith("base-"))
SEARCHED = "elu-converges-faster"
Call = Callable[..., Any]

FEW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=2000)
DRY = ("--dataset", "digits", "--dry-run", "--seeds", "2")

# The command line hands over neither a NUL nor half a surrogate pair.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = st.sampled_from(
    [
        *("", " ", "-", "--", "--help", "..", "../..", "/", "/etc/passwd", "~", "~nobody-there", ".", "*", "%s", "%n"),
        *("\n", "\r\n", "\x1b[31m", "[red]", "[/red]", "\\", "a\\b", "<script>", "${HOME}", "$(id)", "`id`", "\u2028"),
        *("x" * 300, "x" * 5000, "../" * 100, "\u202e", "null", "true", "NaN", "-1", "1e999", "0x" + "f" * 5000),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.integers(),
    st.floats(),
    WORDS,
    NASTY,
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from([*catalogue.ACTIVATIONS, *catalogue.INITIALISERS, *catalogue.BLOCKS, *catalogue.METRICS]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)
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


def assert_answered(ended: Any) -> None:
    """A valid configuration in full and no other word, or one line and exit code 2."""
    assert ended.succeeded or ended.refused, ended
    if ended.succeeded and ended.out.startswith("{"):
        decoder, rest = json.JSONDecoder(), ended.out.strip()
        while rest:
            job, end = decoder.raw_decode(rest)
            ArmConfig.model_validate(job["configuration"])
            assert len(job["key"]) == 20
            rest = rest[end:].strip()


def copy_experiment(name: str, folder: Path) -> Path:
    """Copy a claim with all it leans on to a folder of the test's own."""
    for path in [*EXPERIMENTS.glob("base-*.yaml"), EXPERIMENTS / f"{name}.yaml", EXPERIMENTS / "picks" / "digits.yaml"]:
        target = folder / path.relative_to(EXPERIMENTS)
        target.parent.mkdir(exist_ok=True)
        if not target.exists() or path.stem == name:
            target.write_bytes(path.read_bytes())
    return folder / f"{name}.yaml"


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every node of a tree, its root apart."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in pairs for place in ((*path, key), *places(value, (*path, key)))]


def changed(tree: Any, place: tuple[Any, ...], how: str, value: Any) -> Any:
    """A copy of a tree with one node replaced, dropped or renamed."""
    tree = copy.deepcopy(tree)
    node = tree
    for step in place[:-1]:
        node = node[step]
    if how == "replace":
        node[place[-1]] = value
    else:
        old = node.pop(place[-1])
        if how == "rename" and isinstance(node, dict):
            node[str(value)] = old
    return tree


MUTATIONS = (st.data(), st.sampled_from(CLAIMS), st.sampled_from(["replace", "replace", "drop", "rename"]), TREES)


def mutate_and_plan(call_vgt: Call, folder: Path, data: Any, name: str, how: str, value: Any) -> None:
    path = copy_experiment(name, folder)
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree = changed(tree, data.draw(st.sampled_from(places(tree))), how, value)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    assert_answered(call_vgt("train", str(path), *DRY))


@FEW
@given(*MUTATIONS)
def test_a_claim_with_one_thing_changed(
    call_vgt: Call, tmp_path: Path, data: Any, name: str, how: str, value: Any
) -> None:
    mutate_and_plan(call_vgt, tmp_path, data, name, how, value)


@pytest.mark.slow
@MANY
@given(*MUTATIONS)
def test_many_claims_with_one_thing_changed(
    call_vgt: Call, tmp_path: Path, data: Any, name: str, how: str, value: Any
) -> None:
    mutate_and_plan(call_vgt, tmp_path, data, name, how, value)


EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.text("{}[]:,&*!|>-?%@'\"# \n\tab01.<~\0\x85\ufeff", max_size=4)),
    min_size=1,
    max_size=4,
)


def edit_and_plan(call_vgt: Call, folder: Path, name: str, edits: list[tuple[float, int, str]]) -> None:
    path = copy_experiment(name, folder)
    text = path.read_text(encoding="utf-8")
    for place, length, inserted in edits:
        start = int(place * len(text))
        text = text[:start] + inserted + text[start + length :]
    path.write_text(text, encoding="utf-8")
    assert_answered(call_vgt("train", str(path), *DRY))


@FEW
@given(st.sampled_from(CLAIMS), EDITS)
def test_a_claim_with_characters_changed(
    call_vgt: Call, tmp_path: Path, name: str, edits: list[tuple[float, int, str]]
) -> None:
    edit_and_plan(call_vgt, tmp_path, name, edits)


@pytest.mark.slow
@MANY
@given(st.sampled_from(CLAIMS), EDITS)
def test_many_claims_with_characters_changed(
    call_vgt: Call, tmp_path: Path, name: str, edits: list[tuple[float, int, str]]
) -> None:
    edit_and_plan(call_vgt, tmp_path, name, edits)


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


@pytest.mark.slow
@MANY
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_many_overrides(call_vgt: Call, tmp_path: Path, overrides: list[str]) -> None:
    override_and_plan(call_vgt, tmp_path, overrides)


NAMES = st.one_of(
    WORDS,
    NASTY,
    st.builds(lambda name, cut: name[:cut] + name[cut + 1 :], st.sampled_from(CLAIMS), st.integers(0, 12)),
    st.sampled_from([*CLAIMS, *catalogue.ARTICLES, *catalogue.DATASETS, *catalogue.BLOCKS]).map(str.upper),
)


def name_and_plan(call_vgt: Call, folder: Path, option: str, name: str) -> None:
    path = folder / "it.yaml"
    path.write_text("arms: {a: {}, b: {}}")
    assert_answered(call_vgt("train", str(path), f"{option}={name}", *(DRY if option != "--dataset" else DRY[2:])))


@FEW
@given(st.sampled_from(["--arm", "--variant", "--dataset", "--seeds", "--first-seed", "--accelerator"]), NAMES)
def test_any_name_of_train(call_vgt: Call, tmp_path: Path, option: str, name: str) -> None:
    name_and_plan(call_vgt, tmp_path, option, name)


@pytest.mark.parametrize("number", ["0", "-1", "10001", "1000000000000", "9" * 5000, "1.0", "ten", ""])
@pytest.mark.parametrize(
    "command", [("train", "it.yaml", "--dry-run"), ("reproduce",), ("report",), ("tune",)], ids=repr
)
def test_number_of_seeds_that_cannot_be(call_vgt: Call, tmp_path: Path, command: tuple[str, ...], number: str) -> None:
    (tmp_path / "it.yaml").write_text("arms: {a: {}}")
    ended = call_vgt(*command, f"--seeds={number}", "--dataset", "digits")
    assert ended.refused, ended


@FEW
@given(NAMES)
def test_any_path_of_an_experiment(call_vgt: Call, name: str) -> None:
    assert_answered(call_vgt("train", *DRY, "--", name))


@FEW
@given(st.sampled_from([(), ("--article",), ("--dataset",)]), NAMES)
def test_any_name_of_reproduce_that_is_none(
    call_vgt: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: tuple[str, ...], name: str
) -> None:
    known: dict[tuple[str, ...], list[str]] = {
        (): ["chain-rule-product"],
        ("--article",): list(catalogue.ARTICLES),
        ("--dataset",): [*catalogue.DATASETS, "auto"],
    }
    assume(name not in known[option])
    monkeypatch.setenv("VGT_EXPERIMENTS_DIR", str(copy_experiment("chain-rule-product", tmp_path).parent))
    arguments = (f"{option[0]}={name}",) if option else ("--", name)
    ended = call_vgt("reproduce", "--no-tracking", *arguments)
    assert ended.refused, ended
    assert not (tmp_path / "results").exists()


PICKS = yaml.safe_load((EXPERIMENTS / "picks" / "digits.yaml").read_text())
PICKED = {SEARCHED: PICKS[SEARCHED]}


def pick_and_plan(call_vgt: Call, folder: Path, content: bytes) -> None:
    path = copy_experiment(SEARCHED, folder)
    (folder / "picks" / "digits.yaml").write_bytes(content)
    assert_answered(call_vgt("train", str(path), *DRY))


@FEW
@given(st.sampled_from(places(PICKED)), st.sampled_from(["replace", "replace", "drop", "rename"]), TREES)
@example((SEARCHED, "elu", "picked"), "replace", {"model.depth": 1e9})
@example((SEARCHED, "elu", "picked"), "replace", {"optimiser": 0.1})
@example((SEARCHED, "elu", "picked"), "replace", {"model.initialiser.gain": 0.1})
def test_picks_with_one_thing_changed(
    call_vgt: Call, tmp_path: Path, place: tuple[Any, ...], how: str, value: Any
) -> None:
    content = yaml.safe_dump(changed(PICKED, place, how, value), allow_unicode=True)
    pick_and_plan(call_vgt, tmp_path, content.encode())


@FEW
@given(st.one_of(st.binary(max_size=40), WORDS.map(str.encode), TREES.map(lambda tree: yaml.safe_dump(tree).encode())))
def test_any_content_of_picks(call_vgt: Call, tmp_path: Path, content: bytes) -> None:
    pick_and_plan(call_vgt, tmp_path, content)


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
    assert json.loads(ended.out)["configuration"]["model"]["depth"] == 2


def make_places(folder: Path) -> dict[str, str]:
    """What an environment variable can point at instead of a folder."""
    (folder / "file").write_text("in the way")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "nowhere").symlink_to(folder / "gone")
    os.mkfifo(folder / "pipe")
    (folder / "empty").mkdir()
    return {
        "missing": str(folder / "missing" / "deeper"),
        "file": str(folder / "file"),
        "below a file": str(folder / "file" / "deeper"),
        "loop": str(folder / "loop"),
        "link to nowhere": str(folder / "nowhere"),
        "pipe": str(folder / "pipe"),
        "device": "/dev/null",
        "long": str(folder / ("x" * 300)),
        "longer": "x/" * 3000,
        "nobody's home": "~nobody-there/data",
        "unicode": str(folder / "mémé <script> \n"),
        "empty": str(folder / "empty"),
    }


PLACES = (
    *("missing", "file", "below a file", "loop", "link to nowhere", "pipe", "device", "long", "longer"),
    *("nobody's home", "unicode", "empty"),
)


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


@pytest.mark.parametrize("place", [name for name in PLACES if name not in ("missing", "unicode", "empty")])
@pytest.mark.parametrize("command", [("claims",), ("reproduce",), ("report",), ("tune",)], ids=" ".join)
def test_folder_of_experiments_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("VGT_EXPERIMENTS_DIR", make_places(tmp_path)[place])
    ended = call_vgt(*command)
    assert ended.refused, ended
    assert "no such folder of experiments" in ended.err


@pytest.mark.parametrize(
    "place", ["file", "below a file", "loop", "link to nowhere", "pipe", "device", "long", "longer"]
)
def test_results_folder_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("VGT_EXPERIMENTS_DIR", str(EXPERIMENTS))
    monkeypatch.setenv("VGT_RESULTS_DIR", make_places(tmp_path)[place])
    (tmp_path / "it.yaml").write_text("arms: {a: {training: {steps: 1}}}")
    for arguments in (
        ("train", "it.yaml", "--dataset", "digits", "--no-tracking"),
        ("reproduce", "chain-rule-product", "--dataset", "digits", "--no-tracking"),
    ):
        ended = call_vgt(*arguments)
        assert ended.refused, ended
        assert "the results folder cannot be written" in ended.err


def test_no_command_at_all_is_answered_with_the_help(call_vgt: Call) -> None:
    ended = call_vgt()
    assert ended.code == 2
    assert ended.err.startswith("Usage: vgt ")
    assert len(ended.err.splitlines()) > 10
