"""What `vgt reproduce` prints while it runs and at the end, with real workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
USUAL = ("--dataset", "digits", "--seeds", "2", "--jobs", "1", "--no-tracking")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("drawn_once")]


@pytest.fixture
def reproduce(call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`vgt reproduce` over three of the project's claims, two of them of one article."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "bases").symlink_to(EXPERIMENTS / "bases")
    for name in ("derivative-bounds", "saturation-kills-gradient", "tanh-beats-sigmoid"):
        shutil.copy(EXPERIMENTS / "claims" / f"{name}.yaml", tmp_path / "claims")
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(tmp_path / "claims"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return lambda *arguments: call_vgt("reproduce", *arguments, *USUAL)


def test_verdicts_are_said_one_by_one_then_in_detail_and_json_stands_alone(reproduce: Callable[..., Any]) -> None:
    exact = reproduce("derivative-bounds")
    assert exact.code == 0, exact
    both = reproduce("tanh-beats-sigmoid", "derivative-bounds")
    assert both.code == 0, both
    lines = [line for line in both.out.splitlines() if " arms done, " not in line]
    # What needs nothing new comes first, though it is asked for last; then what had to be trained; then all in detail.
    assert lines[1].startswith("confirmed derivative-bounds: 0, to be <= 0: it is")
    assert lines[2].startswith("confirmed tanh-beats-sigmoid: ")
    assert "derivative-bounds: confirmed" in lines[3:]
    assert "tanh-beats-sigmoid: confirmed (provisional: judged on fewer than ten seeds)" in lines[3:]
    again = reproduce("tanh-beats-sigmoid", "derivative-bounds", "--json")
    assert [result["verdict"] for result in json.loads(again.out)] == ["confirmed", "confirmed"]
    # Nothing had to be waited for.
    assert len(again.err.splitlines()) == 2


def test_article_is_judged_in_one_line_per_claim(reproduce: Callable[..., Any]) -> None:
    table = reproduce("--article", "bn-relu")
    details = reproduce("--article", "bn-relu", "--details")
    assert (table.code, details.code) == (0, 0)
    head, *rest = table.out.partition("2 claims on digits")[2].splitlines()[1:]
    assert head.split()[:2] == ["claim", "verdict"]
    rows = [line.split()[:2] for line in rest[1:3]]
    assert rows == [["derivative-bounds", "confirmed"], ["saturation-kills-gradient", "confirmed"]]
    assert "literature: " not in table.out
    assert details.out.count("literature: ") == 2
