"""`vgt verdicts` on records of real runs: kept, compared with another machine's, tabulated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
NAMES = ("relu-keeps-gradient", "chain-rule-product", "sigmoid-vanishes")


@pytest.fixture
def command(call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command line over three of the project's claims, one of them exact, in a folder that is no checkout."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "bases").symlink_to(EXPERIMENTS / "bases")
    for name in NAMES:
        shutil.copy(EXPERIMENTS / "claims" / f"{name}.yaml", tmp_path / "claims")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return call_vgt


def test_without_records_there_is_nothing_to_keep(command: Callable[..., Any], tmp_path: Path) -> None:
    ended = command("verdicts", "save", "--dataset", "digits", "--output", "out")
    assert ended.refused
    assert "no claim with seeds was judged to its end on digits" in ended.err
    assert not (tmp_path / "out").exists()


def test_outside_a_checkout_a_folder_has_to_be_named(command: Callable[..., Any]) -> None:
    ended = command("verdicts", "save", "--dataset", "digits")
    assert ended.refused
    assert "--output" in ended.err


@pytest.mark.slow
def test_verdicts_are_kept_compared_and_tabulated(command: Callable[..., Any], tmp_path: Path) -> None:
    on_digits = ("--dataset", "digits")
    assert command("reproduce", *NAMES[:2], *on_digits, "--no-tracking", "--jobs", "1").code == 0
    (tmp_path / "pyproject.toml").touch()
    ended = command("verdicts", "save", *on_digits)
    assert ended.code == 0
    assert "2 verdicts, 10 networks" in ended.out
    assert "left out: sigmoid-vanishes (not run)" in ended.err
    (path,) = (tmp_path / "docs" / "verdicts").iterdir()
    text = path.read_text()
    content = json.loads(text)
    assert path.name == f"digits-{content['machine']['name']}.json"
    assert {name: entry["verdict"] for name, entry in content["claims"].items()} == dict.fromkeys(
        ("relu-keeps-gradient", "chain-rule-product"), "confirmed"
    )
    assert command("verdicts", "save", *on_digits).code == 0
    assert path.read_text() == text

    content["machine"] |= {"name": "another", "model": "Another [red]"}
    content["claims"]["relu-keeps-gradient"]["verdict"] = "refuted"
    content["claims"]["relu-keeps-gradient"]["parts"][0]["cleared"] = 0
    (other := path.with_name("digits-another.json")).write_text(json.dumps(content))
    for ended in (command("verdicts", "compare", *on_digits), command("verdicts", "compare", str(other))):
        assert ended.code == 0
        printed = " ".join(ended.out.split())
        assert "verdicts that differ: 1 of 2" in printed
        assert "Another [red], " in printed
        assert "to be <= 0.03: 0 of 10" in printed
        assert "to be <= 0.03: 10 of 10" in printed

    as_json = command("verdicts", "compare", str(other), "--json")
    assert as_json.succeeded
    machine = next(title for title in json.loads(as_json.out)[0]["others"] if title.startswith("Another [red]"))
    verdicts = {row["claim"]: (row["here"], row["others"][machine]) for row in json.loads(as_json.out)}
    assert verdicts["relu-keeps-gradient"] == ("confirmed", "refuted")
    assert verdicts["chain-rule-product"] == ("confirmed", "confirmed")
    assert verdicts["sigmoid-vanishes"][1] is None

    table = command("verdicts", "table", str(other))
    assert "| `relu-keeps-gradient` | refuted |" in table.out
    readme = tmp_path / "README.md"
    readme.write_text("<!-- verdicts: docs/verdicts/digits-another.json -->\n<!-- end of verdicts -->\n")
    assert command("verdicts", "fill", "README.md").out == "README.md: written anew\n"
    assert table.out in readme.read_text()
    assert command("verdicts", "fill", "README.md").out == "README.md: nothing has changed\n"
