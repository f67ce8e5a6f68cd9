"""A reproduction under fire: workers are killed, others train beside it, it is asked to end. Real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.processes import CONTEXT, Running, holder_of, run_vgt, start_server
from vgtemplate.jobs import run
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.plan import plan_claims
from vgtemplate.records import read_record

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "claims"


def write_claim(folder: Path, steps: int) -> None:
    """A claim with two arms that train for a while."""
    claim = {
        "id": "trains-a-while",
        "articles": ["causes-cures"],
        "statement": "Two networks train.",
        "kind": "training",
        "literature": "none",
        "arms": {
            name: {
                "model": {"depth": depth, "width": 16, "activation": "tanh"},
                "training": {"steps": steps},
                "probes": {"every": 0},
                "data": {"num_train": 200},
            }
            for name, depth in (("deep", 6), ("shallow", 2))
        },
        "parts": [{"metric": "test_accuracy", "arms": [name], "threshold": ">= 0"} for name in ("deep", "shallow")],
    }
    folder.mkdir(exist_ok=True)
    (folder / "trains-a-while.yaml").write_text(yaml.safe_dump(claim))


def start(results: Path, experiments: Path, *arguments: str, spawns: bool = True) -> Running:
    environment = os.environ | {
        "VGT_RESULTS_DIR": str(results),
        "VGT_CLAIMS_DIR": str(experiments),
        "VGT_CHECKPOINT_SECONDS": "0.05",
        "OMP_NUM_THREADS": "1",
    }
    settings = ["--dataset", "digits", "--seeds", "2", "--no-tracking", "--json"]
    command = ["reproduce", "trains-a-while", *settings, *arguments]
    return Running(*command, cwd=experiments, environment=environment, is_leader=True, spawns=spawns)


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def trainers(results: Path) -> set[int]:
    """The processes that train an arm."""
    holders = [holder_of(path) for path in (results / ".locks").glob("*.lock")]
    return {pid for pid in holders if pid is not None}


def kill_worker(results: Path, but: int | None = None) -> int:
    """Kill the worker that trains (another one than `but`); return its number."""
    found: set[int] = set()
    wait_until(lambda: found.update(trainers(results) - {but}) or found)  # type: ignore[func-returns-value]
    (worker,) = found
    os.kill(worker, signal.SIGKILL)
    return worker


@pytest.mark.slow
def test_killed_worker_costs_its_arm_a_second_try_and_no_verdict(tmp_path: Path) -> None:
    write_claim(tmp_path / "experiments", steps=200)
    process = start(tmp_path, tmp_path / "experiments", "--jobs", "1", spawns=False)
    kill_worker(tmp_path)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert json.loads(output)[0]["verdict"] == "confirmed"
    assert "trains-a-while: deep: its worker was killed by SIGKILL (out of memory?); the arm is run again" in errors


@pytest.mark.slow
def test_arm_whose_worker_is_killed_twice_fails_with_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    write_claim(tmp_path / "experiments", steps=200)
    process = start(tmp_path, tmp_path / "experiments", "--jobs", "1", spawns=False)
    kill_worker(tmp_path, but=kill_worker(tmp_path))
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    (result,) = json.loads(output)
    assert result["verdict"] == "failed"
    assert result["failure"] == "deep: its worker was killed by SIGKILL (out of memory?), a second time"
    (record,) = tmp_path.glob("*/record.json")
    assert json.loads(record.read_bytes())["name"] == "shallow"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["SIGTERM", "Ctrl-C"])
def test_request_to_end_keeps_what_was_trained_and_ends_all_workers(tmp_path: Path, way: str) -> None:
    """SIGTERM to the parent alone, Ctrl-C to the group: both workers write checkpoints; the next call goes on.

    Takes its time: workers start Python anew, as they do for a user.
    """
    write_claim(tmp_path / "experiments", steps=300)
    process = start(tmp_path, tmp_path / "experiments", "--jobs", "2")
    wait_until(lambda: len(list(tmp_path.glob(".checkpoints/*/training.ckpt"))) == 2)
    workers = trainers(tmp_path)
    assert len(workers) == 2
    if way == "SIGTERM":
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (143 if way == "SIGTERM" else 130)
    assert errors.strip().splitlines()[-1] == "stopped; the same command goes on from here"
    assert not any(psutil.pid_exists(worker) for worker in workers)
    checkpoints = list(tmp_path.glob(".checkpoints/*/training.ckpt"))
    assert len(checkpoints) == 2
    again = start(tmp_path, tmp_path / "experiments", "--jobs", "2", spawns=False)
    output, errors = again.communicate(timeout=240)
    assert json.loads(output)[0]["verdict"] == "confirmed", errors
    whole = tmp_path / "whole"
    start(whole, tmp_path / "experiments", "--jobs", "2", spawns=False).communicate(timeout=240)
    for checkpoint in checkpoints:
        key = checkpoint.parent.name
        resumed, uninterrupted = read_record(tmp_path, key), read_record(whole, key)
        assert resumed is not None
        assert uninterrupted is not None
        assert [part["from_step"] > 0 for part in resumed.environment["parts"]] == [False, True]
        assert resumed.weights_sha256 == uninterrupted.weights_sha256
        assert (tmp_path / key / "series.npz").read_bytes() == (whole / key / "series.npz").read_bytes()
        assert not checkpoint.parent.exists()


@pytest.mark.slow
def test_two_reproductions_on_one_folder_share_the_work(tmp_path: Path) -> None:
    write_claim(tmp_path / "experiments", steps=40)
    processes = [start(tmp_path, tmp_path / "experiments", "--jobs", "1", spawns=False) for _ in range(2)]
    verdicts = [json.loads(process.communicate(timeout=240)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert verdicts[0] == verdicts[1]
    assert not list(tmp_path.glob(".writing-*"))


def train_and_count(folder: Path, fresh: bool, together: Any) -> None:
    """Train the claim's arms, as others do at the same time; note what is really trained."""
    plan = plan_claims(load_claims(folder / "experiments"), folder / "experiments", "digits", range(2), folder)
    train = run._run_arm

    def count(job: Any, *arguments: Any) -> Any:
        with (folder / "trained").open("a") as file:
            file.write(job.key + "\n")
        return train(job, *arguments)

    run._run_arm = count
    together.wait()
    for job in plan.jobs.values():
        run.run_job(job, folder, folder, "cpu", fresh)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["missing", "fresh"])
def test_what_three_processes_are_asked_for_at_once_is_trained_once(tmp_path: Path, mode: str) -> None:
    write_claim(tmp_path / "experiments", steps=60)
    start_server()
    told = (tmp_path, mode == "fresh", CONTEXT.Barrier(3))
    processes = [CONTEXT.Process(target=train_and_count, args=told) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    trained = (tmp_path / "trained").read_text().split()
    if mode == "missing":
        assert len(trained) == len(set(trained)) == 2
    else:  # whoever comes when nobody is at it trains anew, as he asked
        assert len(set(trained)) == 2
        assert len(trained) <= 6


@pytest.mark.slow
def test_worker_asked_to_end_while_it_writes_leaves_no_half_record(tmp_path: Path) -> None:
    code = f"""if True:
    import multiprocessing, os, signal
    from pathlib import Path
    from vgtemplate.lab import worker
    from vgtemplate.lab.check_job import CheckJob
    really_sync = os.fsync
    def asked_to_end(descriptor):
        really_sync(descriptor)
        Path({str(tmp_path / "asked")!r}).touch()
        os.kill(os.getpid(), signal.SIGTERM)
    os.fsync = asked_to_end
    ours, theirs = multiprocessing.Pipe()
    job = CheckJob("0" * 20, "chain_rule_product", "chain-rule-product")
    ours.send((job, worker.How(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}), 1, "cpu")))
    worker._serve(theirs, 1, [])
    """
    ended = run_vgt(cwd=tmp_path, environment=os.environ, code=code)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert (tmp_path / "asked").exists()
    assert not list(tmp_path.glob(".writing-*"))
    assert read_record(tmp_path, "0" * 20) is None


@pytest.mark.slow
def test_what_a_worker_notes_is_one_line_as_in_its_parent(tmp_path: Path) -> None:
    code = """if True:
    import multiprocessing, warnings
    from pathlib import Path
    from vgtemplate.lab import worker
    from vgtemplate.lab.check_job import CheckJob
    worker._attempt = lambda *_: warnings.warn_explicit("the disk is full", UserWarning, worker.__file__, 1)
    ours, theirs = multiprocessing.Pipe()
    ours.send((CheckJob("0" * 20, "chain_rule_product", "chain-rule-product"), worker.How(Path(), Path(), 1)))
    ours.close()
    worker._serve(theirs, 1, [])
    """
    ended = run_vgt(cwd=tmp_path, environment=os.environ, code=code)
    assert ended.stderr.startswith("note: the disk is full\n"), ended.stderr
