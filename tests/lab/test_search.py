"""Which trials a search needs, and a whole search with real processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import run_vgt
from vgtemplate.config.errors import UserError
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.picks import read_picks
from vgtemplate.lab.search import Tuning

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


def test_trial_runs_its_whole_length_on_images_apart_and_equal_trials_are_one(tmp_path: Path) -> None:
    claims = load_claims(EXPERIMENTS)
    searches = Tuning(claims, EXPERIMENTS, "digits", range(1000, 1002), tmp_path).plan_all()
    for search in searches:
        by_steps = search.config.metric == "steps_to_loss"
        for job in (job for trial in search.trials for job in trial.values()):
            training, data = job.config.training, job.config.data
            assert training.stop_accuracy is None
            assert (training.stop_loss is None) == (not by_steps)
            assert not training.evaluate
            if by_steps or search.config.metric == "validation_loss":
                assert data.num_validation == 1437 // 6
                assert job.config.probes.every == 0


def test_claims_of_dying_units_have_one_search_of_all_five_arms(tmp_path: Path) -> None:
    claims = load_claims(EXPERIMENTS)
    names = ("dying-relu", "leaky-beats-relu", "small-rate-saves-relu")
    chosen = {name: claims[name] for name in names}
    searches = Tuning(chosen, EXPERIMENTS, "digits", range(1000, 1002), tmp_path).plan_all()
    keys = [[{arm: job.key for arm, job in trial.items()} for trial in search.trials] for search in searches]
    assert keys[0] == keys[1] == keys[2]
    assert all(trial.keys() == {"relu", "leaky-relu", "prelu", "rrelu", "elu"} for trial in keys[0])
    assert len({key for trial in keys[0] for key in trial.values()}) == 5 * 4


def test_steps_can_be_compared_only_where_a_loss_is_named(tmp_path: Path) -> None:
    claim = load_claims(EXPERIMENTS)["late-layers-learn"]
    steps = claim.search[0].model_copy(update={"metric": "steps_to_loss"})
    wrong = {claim.id: claim.model_copy(update={"search": [steps]})}
    with pytest.raises(UserError, match=r"late-layers-learn.yaml: .* needs training.stop_loss of arm 'depth-5'"):
        Tuning(wrong, EXPERIMENTS, "digits", [1000], tmp_path).plan_all()


@pytest.mark.slow
def test_search_keeps_every_candidate_and_reproduction_uses_the_pick(tmp_path: Path) -> None:
    """Takes its time: five calls as a person makes them, each with workers, and a grid that is widened."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "it.yaml").write_text(
        "id: it\narticles: [bn-relu]\nstatement: x\nkind: training\nliterature: y\n"
        "arms:\n  a: {model: {depth: 1, width: 8}, data: {batch_size: 64}, training: {steps: 30}}\n"
        "  tenth: {model: {depth: 1, width: 8}, data: {batch_size: 64}, training: {steps: 30}}\n"
        "search:\n  - {arms: [a, tenth], trial: a, factors: {tenth: 0.1}, grid: {optimiser.lr: [1e-4, 1e-3]}}\n"
        "parts:\n  - {metric: test_accuracy, arms: [a, tenth], combine: difference, threshold: '> 0'}\n"
    )
    environment = os.environ | {
        "VGT_RESULTS_DIR": str(tmp_path / "results"),
        "VGT_CLAIMS_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }

    def vgt(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_vgt(*arguments, "--dataset", "digits", cwd=tmp_path, environment=environment)

    before = vgt("reproduce", "--seeds", "2", "--no-tracking")
    assert before.returncode == 1
    assert "vgt tune it --dataset digits" in before.stdout
    done = vgt("tune", "--seeds", "2", "--jobs", "1")
    assert done.returncode == 0, done.stdout
    picks = read_picks(folder, "digits")["it"]
    rates = [candidate.settings["optimiser.lr"] for candidate in picks["a"].candidates]
    medians = [candidate.median for candidate in picks["a"].candidates]
    # The grid ends far below the best rate: it is widened until one is worse.
    assert rates == pytest.approx([1e-4, 1e-3, *(1e-3 * 3**power for power in range(1, len(rates) - 1))])
    chosen = rates.index(picks["a"].picked["optimiser.lr"])
    assert len(rates) > 4
    assert chosen == len(rates) - 2
    assert medians[chosen] == min(median for median in medians if median is not None)
    assert picks["tenth"].picked["optimiser.lr"] == pytest.approx(rates[chosen] / 10)
    assert picks["a"].seeds == [1000, 1001]
    as_json = vgt("tune", "--seeds", "2", "--jobs", "1", "--dry-run", "--json")
    assert as_json.returncode == 0, as_json.stderr
    assert json.loads(as_json.stdout) == {
        "it": {arm: pick.model_dump(mode="json") for arm, pick in picks.items()},
    }
    after = vgt("reproduce", "--seeds", "2", "--no-tracking")
    assert after.returncode == 0, after.stdout
    assert "confirmed" in after.stdout
    assert vgt("tune", "--first-seed", "9").returncode == 2
