"""What a user can get wrong, as strategies of Hypothesis, and what must come of it: it works, or it is one line."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from vgtemplate.config import catalogue
from vgtemplate.config.schema import ArmConfig

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DRY = ("--dataset", "digits", "--dry-run", "--seeds", "2")
NUMBERS_OF_SEEDS = ("0", "-1", "10001", "1000000000000", "9" * 5000, "1.0", "ten", "")
"""None of which can be."""

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
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.text("{}[]:,&*!|>-?%@'\"# \n\tab01.<~\0\x85\ufeff", max_size=4)),
    min_size=1,
    max_size=4,
)
"""Where in a text, how many characters are taken out there, and what is put in."""
HOWS = st.sampled_from(["replace", "replace", "drop", "rename"])


def near_names(known: list[str]) -> st.SearchStrategy[str]:
    """Anything, known names with a character missing, and known names in capitals."""
    shortened = st.builds(lambda name, cut: name[:cut] + name[cut + 1 :], st.sampled_from(known), st.integers(0, 12))
    return st.one_of(WORDS, NASTY, shortened, st.sampled_from(known).map(str.upper))


def assert_answered(ended: Any) -> None:
    """Valid configurations in full and no other word, or one line and exit code 2."""
    assert ended.succeeded or ended.refused, ended
    if ended.succeeded and not ended.out.startswith("Usage"):
        for job in json.loads(ended.out):
            ArmConfig.model_validate(job["configuration"])
            assert len(job["key"]) == 20


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


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    """A text after some EDITS."""
    for place, length, inserted in edits:
        start = int(place * len(text))
        text = text[:start] + inserted + text[start + length :]
    return text


def make_no_file(folder: Path, kind: str, name: str) -> Path:
    """Put something at `folder / name` that cannot be read to an end."""
    path = folder / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to(f"/dev/{kind}")
    return path


NO_FILES = ("pipe", "folder", "loop", "huge", "zero", "urandom")


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
NO_FOLDERS = tuple(place for place in PLACES if place not in ("missing", "unicode", "empty"))
UNWRITABLE = tuple(place for place in NO_FOLDERS if place != "nobody's home")


def mutate_and_plan(call_vgt: Callable[..., Any], path: Path, data: Any, how: str, value: Any) -> None:
    """Plan an experiment, or a claim, of which one thing was changed."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree = changed(tree, data.draw(st.sampled_from(places(tree))), how, value)
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    assert_answered(call_vgt("train", str(path), *DRY))


def edit_and_plan(call_vgt: Callable[..., Any], path: Path, edits: list[tuple[float, int, str]]) -> None:
    """Plan an experiment, or a claim, of which characters were changed."""
    path.write_text(edited(path.read_text(encoding="utf-8"), edits), encoding="utf-8")
    assert_answered(call_vgt("train", str(path), *DRY))
