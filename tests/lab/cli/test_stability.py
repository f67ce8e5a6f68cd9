"""`vgt stability` with real runs, and what the report makes of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
NAME = "tanh-beats-sigmoid"


@pytest.fixture
def command(call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command line over two of the project's claims, one of them exact."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "bases").symlink_to(EXPERIMENTS / "bases")
    for name in (NAME, "chain-rule-product"):
        shutil.copy(EXPERIMENTS / "claims" / f"{name}.yaml", tmp_path / "claims")
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(tmp_path / "claims"))
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return call_vgt


def test_claim_without_seeds_is_refused(command: Callable[..., Any]) -> None:
    ended = command("stability", "chain-rule-product")
    assert ended.refused
    assert "have no seeds" in ended.err


def test_unknown_axis_is_refused_with_the_nearest(command: Callable[..., Any]) -> None:
    ended = command("stability", NAME, "--axes", "seeds,widht")
    assert ended.refused
    assert "width" in ended.err


@pytest.mark.slow
def test_width_and_data_set_are_changed_and_what_is_not_there_is_said(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    usual = ("--dataset", "digits", "--seeds", "2", "--axes", "width,dataset")
    ended = command("stability", NAME, *usual)
    assert ended.code == 0, ended
    printed = " ".join(ended.out.split())
    assert "left out: data set mnist" in printed
    assert "left out: data set cifar10" in printed
    widths = {
        json.loads(path.read_bytes())["configuration"]["model"]["width"]
        for path in (tmp_path / "results").glob("*/record.json")
    }
    assert widths == {32, 64, 128}
    outcomes = json.loads((tmp_path / "results" / "stability.json").read_bytes())["claims"][NAME]
    assert list(outcomes) == ["seeds 0 to 1", "width x 0.5", "width x 2"]


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_every_variant_is_judged_printed_and_told_in_the_report(command: Callable[..., Any], tmp_path: Path) -> None:
    usual = ("--dataset", "digits", "--seeds", "2")
    axes = ("--axes", "seeds,threads,precision,machine")
    ended = command("stability", NAME, "--sets", "2", *axes, *usual)
    assert ended.code == 0, ended
    as_json = command("stability", NAME, "--sets", "2", "--json", *axes, *usual)
    for label in ("seeds 0 to 1", "seeds 100 to 101", "float32", "float64", "1 thread", "2 threads"):
        assert label in ended.out
    assert "verdicts that change: 0 of 1" in ended.out
    results = tmp_path / "results"
    # Both precisions and both sets of seeds: this claim's arms are float64 anyway; each number of threads its own.
    assert len(list(results.glob("*/record.json"))) == 3 * 2
    assert len(list(results.glob("stability/threads-*/*/record.json"))) == 2 * 2
    threads = [
        json.loads(path.read_bytes())["environment"]["threads"]
        for path in sorted(results.glob("stability/threads-*/*/record.json"))
    ]
    assert threads == [1, 1, 2, 2]
    outcomes = json.loads((results / "stability.json").read_bytes())
    assert json.loads(as_json.out) == outcomes["claims"]
    assert set(outcomes["claims"][NAME]) == {
        *("seeds 0 to 1", "seeds 100 to 101"),
        *("float32", "float64", "1 thread", "2 threads"),
    }
    variants = outcomes["claims"][NAME]
    variants["<script>float32"] = variants.pop("float32") | {"verdict": "refuted"}
    (results / "stability.json").write_text(json.dumps(outcomes))
    assert command("report", "--no-tracking", *usual).code == 0
    page = " ".join((results / "report" / "index.html").read_text().split())
    assert "<dt>Judged again</dt><dd>not stable: confirmed on seeds 0 to 1, seeds 100 to 101, float64" in page
    assert "<script>float32" not in page
    assert "refuted on &lt;script&gt;float32" in page
    assert os.environ["OMP_NUM_THREADS"] == "1"
