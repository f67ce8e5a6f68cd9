"""Whatever a user names of claims, in their files or in the environment: it works, or it is one line and code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.hostile import (
    DRY,
    EDITS,
    FEW,
    HOWS,
    NO_FOLDERS,
    NUMBERS_OF_SEEDS,
    TREES,
    UNWRITABLE,
    WORDS,
    assert_answered,
    changed,
    edit_and_plan,
    make_places,
    mutate_and_plan,
    near_names,
    places,
)
from vgtemplate.config import catalogue
from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claims import load_claims

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
CLAIMS_DIR = EXPERIMENTS / "claims"
CLAIMS = sorted(load_claims(CLAIMS_DIR))
SEARCHED = "elu-converges-faster"
Call = Callable[..., Any]

MUTATIONS = (st.data(), st.sampled_from(CLAIMS), HOWS, TREES)


def copy_claim(name: str, folder: Path) -> Path:
    """Copy a claim with all it leans on to a folder of the test's own."""
    picks = CLAIMS_DIR / "picks" / "digits.yaml"
    for path in [*EXPERIMENTS.glob("bases/*.yaml"), CLAIMS_DIR / f"{name}.yaml", picks]:
        target = folder / path.relative_to(EXPERIMENTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder / "claims" / f"{name}.yaml"


@FEW
@given(*MUTATIONS)
def test_a_claim_with_one_thing_changed(
    call_vgt: Call, tmp_path: Path, data: Any, name: str, how: str, value: Any
) -> None:
    mutate_and_plan(call_vgt, copy_claim(name, tmp_path), data, how, value)


@FEW
@given(st.sampled_from(CLAIMS), EDITS)
def test_a_claim_with_characters_changed(
    call_vgt: Call, tmp_path: Path, name: str, edits: list[tuple[float, int, str]]
) -> None:
    edit_and_plan(call_vgt, copy_claim(name, tmp_path), edits)


@pytest.mark.parametrize("number", NUMBERS_OF_SEEDS)
@pytest.mark.parametrize("command", ["reproduce", "report", "tune", "stability"])
def test_number_of_seeds_that_cannot_be(call_vgt: Call, command: str, number: str) -> None:
    ended = call_vgt(command, f"--seeds={number}", "--dataset", "digits")
    assert ended.refused, ended


@FEW
@given(st.sampled_from([(), ("--article",), ("--dataset",)]), near_names([*CLAIMS, *ARTICLES, *catalogue.DATASETS]))
def test_any_name_of_reproduce_that_is_none(
    call_vgt: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: tuple[str, ...], name: str
) -> None:
    known: dict[tuple[str, ...], list[str]] = {
        (): ["chain-rule-product"],
        ("--article",): list(ARTICLES),
        ("--dataset",): [*catalogue.DATASETS, "auto"],
    }
    assume(name not in known[option])
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(copy_claim("chain-rule-product", tmp_path).parent))
    arguments = (f"{option[0]}={name}",) if option else ("--", name)
    ended = call_vgt("reproduce", "--no-tracking", *arguments)
    assert ended.refused, ended
    assert not (tmp_path / "results").exists()


PICKS = yaml.safe_load((CLAIMS_DIR / "picks" / "digits.yaml").read_text())
PICKED = {SEARCHED: PICKS[SEARCHED]}


def pick_and_plan(call_vgt: Call, folder: Path, content: bytes) -> None:
    path = copy_claim(SEARCHED, folder)
    (path.parent / "picks" / "digits.yaml").write_bytes(content)
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


@pytest.mark.parametrize("place", NO_FOLDERS)
@pytest.mark.parametrize("command", ["claims", "reproduce", "report", "tune", "stability"])
def test_folder_of_claims_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, command: str
) -> None:
    monkeypatch.setenv("VGT_CLAIMS_DIR", make_places(tmp_path)[place])
    ended = call_vgt(command)
    assert ended.refused, ended
    assert "no such folder of claims" in ended.err


@pytest.mark.parametrize("place", UNWRITABLE)
def test_results_folder_that_is_none(
    call_vgt: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(CLAIMS_DIR))
    monkeypatch.setenv("VGT_RESULTS_DIR", make_places(tmp_path)[place])
    ended = call_vgt("reproduce", "chain-rule-product", "--dataset", "digits", "--no-tracking")
    assert ended.refused, ended
    assert "the results folder cannot be written" in ended.err
