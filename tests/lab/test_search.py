"""Which candidate a search picks, and a whole search with real processes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.lab.claim import SearchConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.picks import read_picks
from vgtemplate.lab.search import choose, plan_searches

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"
SMALLEST = SearchConfig(arms=["a"], grid={"optimiser.lr": [1.0, 2.0, 3.0]})
FIRST = SearchConfig(arms=["a"], grid={"optimiser.lr": [1.0, 2.0, 3.0]}, metric="dead_fraction", first="> 0.1")
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "picked"),
    [
        ([[3, 3, 3], [1, 2, 9], [2, 3, 3]], 1),
        ([[2, 2, 2], [2, 2, 2], [3, 3, 3]], 0),
        ([[NAN, NAN, 0], [5, 5, 5], [INF, INF, INF]], 1),
        ([[INF, INF, INF], [NAN, NAN, NAN], [INF, 1, INF]], 0),
    ],
)
def test_smallest_median_is_picked_and_what_diverged_is_worst(values: list[list[float]], picked: int) -> None:
    assert choose(SMALLEST, values) == picked


@pytest.mark.parametrize(
    ("values", "picked"),
    [
        ([[0, 0.2], [0.2, 0.3], [0.9, 0.9]], 1),
        ([[0, 0.2], [0.05, 0.3], [0.9, NAN]], 1),
        ([[0, 0], [0, 0], [0, 0]], 0),
        ([[NAN, 0], [0, NAN], [NAN, NAN]], 0),
    ],
)
def test_first_candidate_that_every_seed_clears_is_picked_else_the_closest_that_never_diverges(
    values: list[list[float]], picked: int
) -> None:
    assert choose(FIRST, values) == picked


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=3, max_size=3))
def test_no_candidate_has_a_smaller_median_than_the_picked_one(values: list[list[float]]) -> None:
    medians = [sorted(seeds)[1] for seeds in values]
    assert medians[choose(SMALLEST, values)] == min(medians)


def test_trial_runs_its_whole_length_on_images_apart_and_equal_trials_are_one(tmp_path: Path) -> None:
    claims = load_claims(EXPERIMENTS)
    searches = plan_searches(claims, EXPERIMENTS, "digits", range(1000, 1002), tmp_path)
    for search in searches:
        for job in search.jobs:
            training, data = job.config.training, job.config.data
            assert training.stop_loss is training.stop_accuracy is None
            assert not training.evaluate
            if search.config.metric == "validation_loss":
                assert data.num_validation == 1437 // 6
    dying = {name: search for search in searches if (name := search.claim) in ("dying-relu", "leaky-beats-relu")}
    keys = [[job.key for job in search.jobs] for search in dying.values()]
    assert keys[0] == keys[1]


@pytest.mark.slow
def test_search_keeps_every_candidate_and_reproduction_uses_the_pick(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "it.yaml").write_text(
        "id: it\narticles: [bn-relu]\nstatement: x\nkind: training\nliterature: y\n"
        "arms:\n  a: {model: {depth: 1, width: 8}, data: {batch_size: 64}, training: {steps: 30}}\n"
        "  tenth: {model: {depth: 1, width: 8}, data: {batch_size: 64}, training: {steps: 30}}\n"
        "search:\n  - {arms: [a, tenth], trial: a, factors: {tenth: 0.1}, grid: {optimiser.lr: [1e-4, 0.1, 1e+30]}}\n"
        "parts:\n  - {metric: test_accuracy, arms: [a, tenth], combine: difference, threshold: '> 0'}\n"
    )
    environment = os.environ | {
        "VGT_RESULTS_DIR": str(tmp_path / "results"),
        "VGT_CLAIMS_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }

    def vgt(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vgtemplate", *arguments, "--dataset", "digits"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    before = vgt("reproduce", "--seeds", "2", "--no-tracking")
    assert before.returncode == 1
    assert "vgt tune it --dataset digits" in before.stdout
    done = vgt("tune", "--seeds", "2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    picks = read_picks(folder, "digits")["it"]
    assert (picks["a"].picked, picks["tenth"].picked) == ({"optimiser.lr": 0.1}, {"optimiser.lr": 0.01})
    assert picks["a"].seeds == [1000, 1001]
    medians = [candidate.median for candidate in picks["a"].candidates]
    assert medians[2] is None
    assert medians[1] < medians[0]
    after = vgt("reproduce", "--seeds", "2", "--no-tracking")
    assert after.returncode == 0, after.stdout
    assert "confirmed" in after.stdout
    assert vgt("tune", "--first-seed", "9").returncode == 2
