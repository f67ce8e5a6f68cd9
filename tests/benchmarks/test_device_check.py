"""What `make device-check` says of a device, tried on a processor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.devicecheck import same
from benchmarks.devicecheck.__main__ import answer
from benchmarks.devicecheck.parts import REFERENCE, Part, parts, read_results, read_rows, read_verdicts


def test_verdicts_that_differ_are_named() -> None:
    path = sorted(REFERENCE.glob("*.json"))[0]
    there = json.loads(path.read_text(encoding="utf-8"))["claims"]
    name, other = list(there)[:2]
    here = [{"id": name, "verdict": there[name]["verdict"]}, {"id": other, "verdict": "no word of ours"}]
    rows = dict(read_verdicts("lines before\n" + json.dumps([*here, {"id": "new", "verdict": "failed"}])))
    assert rows["claims judged"] == "3"
    assert rows[f"as on {path.stem}"] == "1 of 2 decided"
    assert rows[f"  {other}"].startswith("no word of ours here, ")
    assert rows["  new"] == "failed"


def test_accuracies_are_found() -> None:
    said = [{"arm": "a", "metrics": {"test_accuracy": [0.5, 0.25, 0.75]}}, {"arm": "b", "metrics": {}}]
    assert read_results(json.dumps(said)) == [("accuracy of a", "0.500 [0.250, 0.750], 3 seeds")]


def _ask(code: str, limit: float) -> dict[str, object]:
    return answer(Part("a part", limit, ["-c", code], read_rows), dict(os.environ), limit, lambda line: None)


def test_part_is_stopped_and_keeps_what_it_said() -> None:
    found = _ask("import time; print('rows\\t3', flush=True); time.sleep(60)", 5)
    assert found["rows"] == [("rows", "3")]
    assert found["why"] == "stopped after 5 s"


@pytest.mark.parametrize(
    ("code", "why"), [("raise ValueError('no')", "exit code 1: ValueError: no"), ("", "no output")]
)
def test_part_that_fails_says_why(code: str, why: str) -> None:
    assert why in str(_ask(code, 30)["why"])


def test_part_without_time_is_left_out() -> None:
    assert _ask("print('a\\tb')", 1)["why"] == "left out: no time"


def test_every_part_names_what_there_is(tmp_path: Path) -> None:
    for device in ("cuda", "cpu"):
        for part in parts(device, quick=False):
            assert part.command[0] == "-m"
            module = Path(*part.command[1].split("."))
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()


@pytest.mark.slow
def test_processor_computes_what_the_processor_computes(capsys: pytest.CaptureFixture[str]) -> None:
    same.main("cpu")
    rows = dict(read_rows(capsys.readouterr().out))
    assert len(rows) == 3 * len(same.ARMS)
    assert all(value == "the same bits" for name, value in rows.items() if name.endswith("twice"))
    assert all(float(value.split()[0]) < 1e-5 for name, value in rows.items() if not name.endswith("twice"))
