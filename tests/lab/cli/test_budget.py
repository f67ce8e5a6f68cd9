"""`vgt reproduce --setting full --budget`: what is run, what is left out, and that it is said beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.lab.cli.budget import DURATION

pytestmark = pytest.mark.usefixtures("drawn_once")

Vgt = Callable[..., Any]
LONG_IN_FULL = """
id: long-in-full
articles: []
statement: A small network learns.
kind: training
arms: {small: {model: {depth: 2, width: 8}, training: {steps: 40}}}
full: {arms: {small: {training: {steps: 1000000}}}}
parts: [{metric: test_accuracy, arms: [small], threshold: ">= 0"}]
literature: none
"""


@pytest.fixture
def reproduce(call_vgt: Vgt, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Vgt:
    """`vgt reproduce` on the digits with the project's experiments."""
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(request.config.rootpath / "experiments" / "claims"))
    return lambda *arguments: call_vgt("reproduce", *arguments, "--dataset", "digits", "--no-tracking")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), (" 2m ", 120)])
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["20", "0m", "-5m", "1d", "m", "nanm", "1e3s", "20 m"])
def test_what_is_no_duration_is_refused(reproduce: Vgt, text: str) -> None:
    done = reproduce("derivative-bounds", "--setting", "full", f"--budget={text}")
    assert done.code == 2
    assert "20m" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_budget_needs_the_full_setting(reproduce: Vgt) -> None:
    done = reproduce("derivative-bounds", "--budget", "20m")
    assert done.code == 2
    assert "--setting full" in done.err


@pytest.mark.slow
def test_what_is_left_out_is_said_and_not_judged(reproduce: Vgt) -> None:
    done = reproduce("derivative-bounds", "residual-thousand", "--setting", "full", "--budget", "20s", "--json")
    assert done.code == 0, done.err
    assert [result["id"] for result in json.loads(done.out)] == ["derivative-bounds"]
    said = " ".join(done.err.split())
    assert said.index("residual-thousand left out") < said.index("1 confirmed")
    assert "1 in the full setting, 0 in the short one, 1 left out" in said


@pytest.mark.slow
def test_a_claim_that_does_not_fit_is_judged_short_and_provisional(
    reproduce: Vgt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "long-in-full.yaml").write_text(LONG_IN_FULL)
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(tmp_path / "claims"))
    done = reproduce("long-in-full", "--setting", "full", "--budget", "20s", "--json")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)
    assert (result["setting"], result["seeds"], result["provisional"]) == ("short", [0, 1, 2], True)
    again = json.loads(reproduce("long-in-full", "--setting", "short", "--seeds", "3", "--json").out)
    assert again[0]["effects"] == result["effects"]


def test_a_claim_of_the_full_setting_says_so_in_the_quick_one(reproduce: Vgt) -> None:
    done = reproduce("residual-thousand")
    assert done.code == 1
    assert "vgt reproduce residual-thousand --setting full" in " ".join(done.out.split())


@pytest.mark.slow
def test_a_claim_whose_data_cannot_be_had_fails_and_the_others_are_judged(reproduce: Vgt) -> None:
    done = reproduce("derivative-bounds", "depth-helps", "--setting", "full", "--json")
    assert done.code == 1
    verdicts = {result["id"]: (result["verdict"], result["failure"]) for result in json.loads(done.out)}
    assert verdicts["derivative-bounds"] == ("confirmed", None)
    assert verdicts["depth-helps"][0] == "failed"
    assert "cifar10" in verdicts["depth-helps"][1]


@pytest.mark.slow
def test_fresh_costs_as_if_there_were_no_records(reproduce: Vgt) -> None:
    command = ("relu-keeps-gradient", "--setting", "full", "--json", "--seeds", "2")
    assert reproduce(*command).code == 0
    kept = reproduce(*command, "--budget", "0.1s")
    assert [result["id"] for result in json.loads(kept.out)] == ["relu-keeps-gradient"]
    anew = reproduce(*command, "--budget", "0.1s", "--fresh")
    assert (anew.code, json.loads(anew.out)) == (0, [])
