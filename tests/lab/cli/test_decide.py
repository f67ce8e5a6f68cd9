"""`vgt reproduce --decide`: what is open gets more seeds, what is decided gets none; with real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.records import Record, read_all

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("drawn_once")]

CLAIM = """
id: {name}
articles: []
statement: It depends.
kind: training
arms:
  seen:
    model: {{depth: 1, width: 4}}
    data: {{num_train: 20, num_test: 20}}
    optimiser: {{lr: {lr}}}
    training: {{steps: 1}}
  other:
    model: {{depth: 1, width: 3}}
    data: {{num_train: 20, num_test: 20}}
    optimiser: {{lr: {lr}}}
    training: {{steps: 1}}
parts:
  - {{metric: "of_the_seed:{metric}", arms: [seen], label: part, threshold: "> 0"}}
  - {{metric: "of_the_seed:always", arms: [other], label: control, threshold: "> 0"}}
literature: None.
"""
METRICS = """
def always(record):
    return [1.0 for seed in record.seeds]

def nine_of_ten(record):
    return [float(seed % 10 != 3) for seed in record.seeds]

def half(record):
    return [float(seed % 2) for seed in record.seeds]
"""
CLAIMS = {"sure": ("always", 0.1), "likely": ("nine_of_ten", 0.2), "even": ("half", 0.3)}
"""The claims' parts clear for all, for nine of ten and for half of the seeds; every claim has arms of its own."""


@pytest.fixture
def vgt(call_vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    (tmp_path / "claims").mkdir()
    (tmp_path / "of_the_seed.py").write_text(METRICS)
    for name, (metric, lr) in CLAIMS.items():
        (tmp_path / "claims" / f"{name}.yaml").write_text(CLAIM.format(name=name, metric=metric, lr=lr))
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(tmp_path / "claims"))
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call_vgt("reproduce", *arguments, "--dataset", "digits", "--jobs", "1", "--no-tracking")


def trained(results: Path) -> dict[tuple[float, int], list[tuple[int, ...]]]:
    """The sets of seeds that were trained, by learning rate and width."""
    found: dict[tuple[float, int], list[tuple[int, ...]]] = {}
    records: list[Record] = sorted(read_all(results), key=lambda record: record.seeds)
    for record in records:
        name = record.configuration["optimiser"]["lr"], record.configuration["model"]["width"]
        found.setdefault(name, []).append(record.seeds)
    return found


def test_open_claims_alone_go_on_and_what_was_trained_is_not_trained_again(
    vgt: Callable[..., Any], tmp_path: Path
) -> None:
    first = vgt()
    assert first.code == 0, first
    assert "1 confirmed, 2 open, in " in first.out
    looks = [tuple(range(10)), tuple(range(10, 30))]
    # The last look's seventy in parts that fit into memory.
    last = [tuple(range(first, min(first + 18, 100))) for first in range(30, 100, 18)]
    assert {tuple(sets) for sets in trained(tmp_path / "results").values()} == {(looks[0],)}

    decided = vgt("--decide")
    assert decided.code == 0, decided
    assert "2 confirmed, 1 depends on the seed, in " in decided.out
    announced = [line for line in decided.out.splitlines() if line.startswith("open: ")]
    assert [line.partition(", about")[0] for line in announced] == [
        "open: even, likely; the next look trains 40 networks",
        "open: even; the next look trains 70 networks",
    ]
    assert trained(tmp_path / "results") == {
        (0.1, 4): looks[:1],
        (0.2, 4): looks[:2],
        (0.3, 4): [*looks, *last],
        # The control was clear at once.
        (0.1, 3): looks[:1],
        (0.2, 3): looks[:1],
        (0.3, 3): looks[:1],
    }

    again = vgt("--json")
    results = {result["id"]: result for result in json.loads(again.out)}
    assert {name: result["verdict"] for name, result in results.items()} == {
        "even": "depends on the seed",
        "likely": "confirmed",
        "sure": "confirmed",
    }
    even, likely = results["even"]["parts"][0], results["likely"]["parts"][0]
    assert (even["cleared"], len(even["effects"]), even["seeds"]) == (50, 100, list(range(100)))
    assert (likely["cleared"], len(likely["effects"]), likely["seeds"]) == (27, 30, list(range(30)))
    assert [len(results["even"]["records"][arm]) for arm in ("seen", "other")] == [6, 1]
    assert "0.40 to 0.60" in results["even"]["because"]


def test_a_look_that_fails_ends_it_and_the_claim_stays_open(
    vgt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(jobs: Any, how: Any, console: Any, ended: Any = None) -> dict[str, str]:
        return {job.key: "it broke" for job in jobs}

    assert vgt("likely").code == 0
    monkeypatch.setattr("vgtemplate.lab.cli.decide.run_with_progress", fail)
    found = vgt("likely", "--decide")
    assert "1 open, in " in found.out
    assert len(trained(tmp_path / "results")) == 2
    assert found.code == 1


@pytest.mark.parametrize("other", [("--seeds", "5"), ("--setting", "full", "--budget", "20m")])
def test_it_goes_on_from_ten_seeds_alone(vgt: Callable[..., Any], other: tuple[str, ...]) -> None:
    refused = vgt("--decide", *other)
    assert refused.code == 2
    assert "--decide goes on from 10 seeds: it goes neither with --budget nor with --seeds" in refused.err
