"""Claims are judged one by one, each as soon as nothing of it is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vgtemplate.lab.cli import judging
from vgtemplate.lab.cli.judging import Judging


def plan(setting: str, keys: dict[str, dict[str, str]]) -> Any:
    return SimpleNamespace(setting=setting, claims=dict.fromkeys(keys), keys=keys)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, str]]]:
    """What was judged, in this order: plan, claim, and the failures that were known then."""
    monkeypatch.setattr(
        judging, "judge_claim", lambda plan, name, results, failures: (plan.setting, name, dict(failures))
    )
    return []


def test_a_claim_is_judged_when_its_last_arm_is_done(said: list[Any], tmp_path: Path) -> None:
    first = plan("full", {"a": {"x": "1", "y": "2"}, "b": {"x": "1", "y": "9"}, "cannot-run": {}})
    second = plan("short", {"c": {"x": "3"}, "d": {"x": "9"}})
    found = Judging([first, second], tmp_path, {"1", "2", "3", "of no claim"}, said.append)  # type: ignore[arg-type]
    found.judge()
    assert [name for _, name, _ in said] == ["cannot-run", "d"]
    found.end("2", None)
    found.end("of no claim", "it broke")
    assert len(said) == 2
    found.end("1", "it broke too")
    assert [name for _, name, _ in said[2:]] == ["a", "b"]
    assert said[2][2] == {"of no claim": "it broke", "1": "it broke too"}
    found.end("3", None)
    assert said[-1][:2] == ("short", "c")
    assert [result[1] for result in found.results()] == ["a", "b", "cannot-run", "c", "d"]  # type: ignore[index]
    assert len(said) == 5
