"""The reproduction as a whole, with real processes, on the embedded digits and on real MNIST."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.processes import Running
from vgtemplate.jobs.job import Job
from vgtemplate.jobs.run import run_job
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cost import estimate_megabytes
from vgtemplate.lab.judge import Verdict, judge_effects
from vgtemplate.lab.plan import missing_tasks, plan_claims, select_claims
from vgtemplate.lab.result import Result, judge_all
from vgtemplate.lab.worker import How
from vgtemplate.lab.workers import run_jobs

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    return load_claims(EXPERIMENTS)


def vgt(*arguments: str, results: Path, spawns: bool = False) -> Running:
    environment = os.environ | {
        "VGT_RESULTS_DIR": str(results),
        "VGT_CLAIMS_DIR": str(EXPERIMENTS),
        "OMP_NUM_THREADS": "1",
    }
    return Running(*arguments, cwd=results, environment=environment, spawns=spawns)


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_arms_shared_by_claims_are_one_job(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    chosen = select_claims(claims, ["sigmoid-vanishes", "tanh-beats-sigmoid"])
    plan = plan_claims(chosen, EXPERIMENTS, "digits", range(3), tmp_path)
    shared = plan.keys["sigmoid-vanishes"]["sigmoid"]
    assert plan.keys["tanh-beats-sigmoid"]["sigmoid"] == shared
    assert (plan.jobs[shared].experiment, plan.jobs[shared].name) == ("sigmoid-vanishes", "sigmoid")
    assert len(plan.jobs) == 2


def test_article_selects_its_claims(claims: dict[str, ClaimConfig]) -> None:
    chosen = select_claims(claims, article="bn-relu")
    assert "batchnorm-unsaturates" in chosen
    assert "selu-conditions" not in chosen


def test_what_has_a_record_is_not_run_again(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    plan = plan_claims(select_claims(claims, ["relu-not-centred"]), EXPERIMENTS, "digits", range(2), tmp_path)
    assert len(missing_tasks(plan.jobs.values(), tmp_path)) == 4
    first = next(iter(plan.jobs.values()))
    record = run_job(first, tmp_path, tmp_path, "cpu")
    assert record.key == first.key
    assert len(missing_tasks(plan.jobs.values(), tmp_path)) == 3


def test_a_missing_record_makes_the_claim_fail_with_a_reason(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    plan = plan_claims(select_claims(claims, ["relu-keeps-gradient"]), EXPERIMENTS, "digits", range(2), tmp_path)
    (key,) = plan.jobs
    (result,) = judge_all(plan, tmp_path, {key: "it broke"})
    assert result.verdict is None
    assert result.failure == "relu: it broke"
    assert result.to_json()["verdict"] == "failed"


@pytest.mark.slow
def test_workers_give_the_records_that_this_process_gives(claims: dict[str, ClaimConfig], tmp_path: Path) -> None:
    import numpy as np
    import torch

    from vgtemplate.records import read_record

    plan = plan_claims(select_claims(claims, ["tanh-beats-sigmoid"]), EXPERIMENTS, "digits", range(2), tmp_path)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for job in plan.jobs.values():
            run_job(job, here, tmp_path, "cpu")
    finally:
        torch.set_num_threads(threads)
    done = dict(run_jobs(plan.jobs.values(), How(there, tmp_path, num_workers=64, accelerator="cpu")))
    assert set(done.values()) == {None}
    for key in plan.jobs:
        ours, theirs = read_record(here, key), read_record(there, key)
        assert ours is not None
        assert theirs is not None
        for name, array in ours.series.items():
            np.testing.assert_allclose(array, theirs.series[name], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_interrupted_reproduction_says_so_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    arguments = (
        "reproduce",
        "glorot-suits-saturating",
        "--dataset",
        "digits",
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--no-tracking",
    )
    first = vgt(*arguments, results=tmp_path)
    wait_until(lambda: list(tmp_path.glob("[!.]*/record.json")))
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("stopped")
    assert not list(tmp_path.glob(".writing-*"))
    kept = {path: path.read_bytes() for path in tmp_path.glob("[!.]*/record.json")}
    second = vgt(*arguments, "--json", results=tmp_path)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0
    (result,) = json.loads(output)
    assert 0 < len(kept) < len(result["records"])
    assert {path: path.read_bytes() for path in kept} == kept


def workers_of(results: Path) -> list[int]:
    """The processes that compute for a results folder."""
    found = psutil.process_iter(["environ"])  # None where it is not ours or has ended
    return [each.pid for each in found if (each.info["environ"] or {}).get("VGT_RESULTS_DIR") == str(results)]


@pytest.mark.slow
def test_killed_reproduction_leaves_no_process_and_ends_with_the_verdicts_of_one_that_was_not(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    arguments = (
        "reproduce",
        "glorot-suits-saturating",
        "--dataset",
        "digits",
        "--seeds",
        "2",
        "--jobs",
        "2",
        "--no-tracking",
    )
    for wanted in (1, 3):
        process = vgt(*arguments, results=killed, spawns=True)
        wait_until(lambda wanted=wanted: len(list(killed.glob("[!.]*/record.json"))) >= wanted)
        process.kill()
        process.communicate(timeout=60)
        wait_until(lambda: not workers_of(killed))
    found = []
    for results in (killed, whole):
        process = vgt(*arguments, "--json", results=results)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        (result,) = json.loads(output)
        found.append({name: result[name] for name in ("verdict", "parts", "records")})
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.real_data
def test_speed_gaps_agree_with_nielsens_published_values(
    claims: dict[str, ClaimConfig], mnist_root: Path, tmp_path: Path
) -> None:
    chosen = select_claims(claims, ["two-layer-speed-gap", "four-layer-speed-gap"])
    plan = plan_claims(chosen, EXPERIMENTS, "mnist", range(10), mnist_root)
    for job in plan.jobs.values():
        run_job(job, tmp_path, mnist_root, "cpu")
    four, two = judge_all(plan, tmp_path, {})
    for result, published in ((two, 0.3092 / 0.0657), (four, 1.978)):
        assert result.verdict is not None
        (part,) = result.verdict.parts
        assert part.verdict == "clears"
        assert min(part.effects) <= published <= max(part.effects)
        assert result.claim.published[part.title] == pytest.approx(published, abs=1e-3)


@pytest.mark.slow
def test_json_has_what_a_reader_needs(tmp_path: Path) -> None:
    done = vgt(
        *("reproduce", "relu-keeps-gradient", "chain-rule-product", "--dataset", "digits"),
        *("--seeds", "3", "--first-seed", "5", "--json", "--no-tracking"),
        results=tmp_path,
    )
    output, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    exact, seeded = json.loads(output)
    assert exact["id"] == "chain-rule-product"
    assert exact["seeds"] == []
    assert seeded["seeds"] == [5, 6, 7]
    assert seeded["dataset"] == "digits"
    assert seeded["provisional"] is True
    assert len(seeded["effects"]) == 3
    assert {"articles", "kind", "verdict", "threshold", "literature"} <= set(seeded)
    assert errors.splitlines()[0].startswith("data set: digits")
    assert not (tmp_path / "mlflow.db").exists()


def test_json_has_no_nan_and_no_infinity(claims: dict[str, ClaimConfig]) -> None:
    effects = [float("nan"), float("inf"), float("-inf"), 0.01]
    parts = tuple(judge_effects(effects, "<= 0.03", "|slope|") for _ in range(2))
    verdict = Verdict("relu-keeps-gradient", "open", True, parts)
    result = Result(claims["relu-keeps-gradient"], verdict, {}, "mnist", (0, 1, 2), "quick", 1.0, {})
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["effects"] == [None, "Infinity", "-Infinity", 0.01]


def test_later_looks_add_each_seed_once_in_jobs_that_fit_into_memory(
    claims: dict[str, ClaimConfig], tmp_path: Path
) -> None:
    named = {name: claims[name] for name in ("residual-trains-deep", "relu-replaces-sigmoid", "derivative-bounds")}
    plan = plan_claims(named, EXPERIMENTS, "digits", range(100, 110), tmp_path)
    assert plan.later["derivative-bounds"] == {}
    numbers = []
    for name, arms in plan.later.items():
        for arm, looks in arms.items():
            first = plan.jobs[plan.keys[name][arm]]
            assert isinstance(first, Job)
            sets = [first.seeds, *(tuple(seed for job in jobs for seed in job.seeds) for jobs in looks)]
            assert sets == [tuple(range(100, 110)), tuple(range(110, 130)), tuple(range(130, 200))]
            assert all(job.config == first.config for jobs in looks for job in jobs)
            assert all(len(job.seeds) <= 20 for jobs in looks for job in jobs)
            assert all(estimate_megabytes(job.config, len(job.seeds)) <= 300 for jobs in looks for job in jobs)
            numbers.append([len(jobs) for jobs in looks])
    assert [1, 4] in numbers
    assert max(numbers) > [1, 4]
    assert plan_claims(named, EXPERIMENTS, "digits", range(9), tmp_path).later["relu-replaces-sigmoid"] == {"relu": []}
