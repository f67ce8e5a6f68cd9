"""What searches have found: read, written, checked against the grids; and the project's own picks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vgtemplate.config.errors import UserError
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.grid import candidates_of, grid_of, settings_on_an_end
from vgtemplate.lab.picks import (
    Candidate,
    Pick,
    as_patch,
    describe_pick,
    describe_picks,
    picked_settings,
    picks_path,
    read_picks,
    write_picks,
)

CLAIMS = Path(__file__).parents[2] / "experiments" / "claims"
GRID = {"optimiser.lr": [0.1, 0.3], "model.dropout": [0.0, 0.5]}


def claim(**search: object) -> ClaimConfig:
    return ClaimConfig.model_validate(
        {
            "id": "it",
            "articles": ["bn-relu"],
            "statement": "x",
            "kind": "training",
            "literature": "y",
            "arms": {"a": {}, "b": {}},
            "parts": [{"metric": "test_accuracy", "arms": ["a"], "threshold": "> 0"}],
            "search": [{"arms": ["a"], "grid": GRID} | search],
        }
    )


def pick(picked: dict[str, float] | None = None, grid: dict[str, list[float]] = GRID) -> Pick:
    search = claim(grid=grid).search[0]
    return Pick(
        date="2026-01-01",
        seeds=[1000, 1001],
        metric="validation_loss",
        trial="a",
        picked=picked or {"optimiser.lr": 0.1, "model.dropout": 0.5},
        candidates=[
            Candidate(settings=settings, median=1.0, lowest=0.5, highest=None)
            for settings in candidates_of(search.grid)
        ],
    )


def test_settings_of_any_depth_are_searched_and_whole_numbers_are_integers() -> None:
    found = as_patch({"model.settings.width": 32.0, "model.settings.head.rate": 0.5, "optimiser.lr": 1.0})
    assert found == {"model": {"settings": {"width": 32, "head": {"rate": 0.5}}}, "optimiser": {"lr": 1}}
    assert isinstance(found["model"]["settings"]["width"], int)
    claim(grid={"model.settings.head.rate": [0.1]})
    for setting in ("lr", "optimiser.lr.more", "model.settings.", "model."):
        with pytest.raises(ValidationError, match="must look like"):
            claim(grid={setting: [0.1]})


def test_settings_become_a_patch() -> None:
    assert as_patch({"optimiser.lr": 0.1, "optimiser.l1": 1e-3, "model.dropout": 0.5}) == {
        "optimiser": {"lr": 0.1, "l1": 1e-3},
        "model": {"dropout": 0.5},
    }


def test_what_is_written_is_read_back_and_other_claims_stay(tmp_path: Path) -> None:
    write_picks(tmp_path, "mnist", {"it": {"a": pick()}, "other": {"b": pick()}})
    other = pick({"optimiser.lr": 0.3, "model.dropout": 0.5})
    write_picks(tmp_path, "mnist", {"it": {"a": other, "b": pick()}})
    picks = read_picks(tmp_path, "mnist")
    assert picks["it"]["a"] == other
    assert picks["it"]["b"] == picks["other"]["b"] == pick()
    assert [path.name for path in (tmp_path / "picks").iterdir()] == ["mnist.yaml"]
    assert read_picks(tmp_path, "digits") == {}


@given(st.floats(1e-8, 1e8), st.floats(-1e8, 1e8))
@settings(max_examples=25)
def test_numbers_survive_the_file(tmp_path_factory: pytest.TempPathFactory, lr: float, median: float) -> None:
    folder = tmp_path_factory.mktemp("picks")
    candidate = Candidate(settings={"optimiser.lr": lr}, median=median, lowest=None, highest=None)
    written = pick().model_copy(update={"candidates": [candidate], "picked": {"optimiser.lr": lr}})
    write_picks(folder, "mnist", {"it": {"a": written}})
    assert read_picks(folder, "mnist")["it"]["a"] == written


def test_claim_without_a_search_on_this_data_set_says_what_to_run() -> None:
    with pytest.raises(UserError, match=r"^it: .*'a' were not searched on digits yet; run `vgt tune it --dataset dig"):
        picked_settings(claim(), {}, "digits")


def test_picks_of_another_grid_are_refused() -> None:
    changed = pick(grid={"optimiser.lr": [0.1, 0.2], "model.dropout": [0.0, 0.5]})
    with pytest.raises(UserError, match="the grid of arm 'a' has changed since its search"):
        picked_settings(claim(), {"it": {"a": changed}}, "mnist")
    assert picked_settings(claim(), {"it": {"a": pick()}}, "mnist") == {"a": pick().picked}


def test_picks_of_a_wider_grid_are_those_of_the_grid_but_not_where_the_first_is_asked_for() -> None:
    wider = pick(grid={"optimiser.lr": [0.1, 0.3, 0.9, 2.7], "model.dropout": [0.0, 0.5]})
    assert picked_settings(claim(), {"it": {"a": wider}}, "mnist") == {"a": wider.picked}
    with pytest.raises(UserError, match="the grid of arm 'a' has changed since its search"):
        picked_settings(claim(first="> 0.1"), {"it": {"a": wider}}, "mnist")


def test_pick_is_said_with_its_spread_and_what_it_is_a_multiple_of() -> None:
    said = "optimiser.lr 0.1, model.dropout 0.5 (validation_loss 1 [0.5, none], seeds 1000 to 1001)"
    assert describe_pick(pick()) == said
    tenth = pick().model_dump() | {"picked": {"optimiser.lr": 0.01, "model.dropout": 0.05}, "factor": 0.1}
    assert describe_pick(Pick.model_validate(tenth)).startswith("optimiser.lr 0.01, model.dropout 0.05, 0.1 of a's (")


def test_arms_that_were_given_the_same_are_said_together() -> None:
    other = pick({"optimiser.lr": 0.3, "model.dropout": 0.5})
    said = describe_picks({"relu": pick(), "tanh": other, "elu": pick()})
    assert said == f"relu, elu: {describe_pick(pick())}; tanh: {describe_pick(other)}"


def test_pick_that_was_no_candidate_is_refused() -> None:
    with pytest.raises(ValidationError, match="is none of the candidates"):
        pick({"optimiser.lr": 0.2, "model.dropout": 0.5})


@pytest.mark.parametrize("text", ["it: 3", "it: {a: {date: x}}", "it: {a: [1]}", "it: ["])
def test_broken_file_is_one_line(text: str, tmp_path: Path) -> None:
    path = picks_path(tmp_path, "mnist")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_picks(tmp_path, "mnist")
    assert "mnist.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"arms": ["c"]}, "unknown arm 'c'"),
        ({"trial": "c"}, "unknown arm 'c'"),
        ({"metric": "accuracy"}, "unknown metric 'accuracy'"),
        ({"grid": {"lr": [0.1]}}, "must look like section.key"),
        ({"factors": {"a": 0.1}}, "factors go with trial"),
        ({"trial": "a", "factors": {"b": 0.1}}, "unknown arm of the search 'b'"),
    ],
)
def test_search_that_cannot_be_is_refused(search: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        claim(**search)


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_projects_picks_are_what_their_searches_say(dataset: str) -> None:
    """Every searched arm has a pick of its present grid, on seeds that never judge, and it is the rule's choice."""
    picks = read_picks(CLAIMS, dataset)
    claims = load_claims(CLAIMS)
    # Whether one's own claims have been searched is one's own affair. On the digits a claim may lack its picks: then it
    # is not judged there, and says with which command it would be.
    searched = {name for name, claim in claims.items() if claim.search and claim.articles}
    assert (searched if dataset == "mnist" else set()) <= set(picks) <= set(claims)
    for name in picks:
        found = picked_settings(claims[name], picks, dataset)
        for search in claims[name].search:
            for arm in search.arms:
                entry = picks[name][arm]
                assert min(entry.seeds) >= 1000
                fallback = search.metric == "steps_to_loss" and entry.metric == "validation_loss"
                assert entry.metric == search.metric or fallback
                assert entry.factor == search.factors.get(arm, 1.0)
                assert found[arm] == entry.picked
                medians = [float("inf") if c.median is None else c.median for c in entry.candidates]
                if search.first is None:
                    assert entry.candidate.median == min(medians)


@pytest.mark.parametrize("path", sorted((CLAIMS / "picks").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_pick_lies_on_an_end_of_what_was_tried(path: Path) -> None:
    """Amendment 5; but where the first candidate at which something happens was asked for."""
    claims = load_claims(CLAIMS)
    for name, arms in read_picks(CLAIMS, path.stem).items():
        firsts = {arm for search in claims[name].search if search.first is not None for arm in search.arms}
        for arm in arms.keys() - firsts:
            grid = grid_of([candidate.settings for candidate in arms[arm].candidates])
            assert settings_on_an_end(grid, arms[arm].picked) == [], f"{name}: {arm}"
