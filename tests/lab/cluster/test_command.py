"""`vgt reproduce --cluster local:2`, which is asked to end again and again: real processes, Ctrl-C to all of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.clusters import is_asked_to_end, resume, stop, wait_until
from tests.lab.test_fire import start, write_claim
from tests.processes import holder_of
from vgtemplate.records import read_all

pytestmark = pytest.mark.slow

STOPPED = "stopped; the same command goes on from here"
AT_ONCE = "stopped at once; the same command goes on from the last checkpoint"


def group_of(leader: int) -> list[int]:
    """The processes that a command has started, and that still run."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


def trainers(scratch: Path) -> list[int]:
    """The processes that train an arm now and have written a checkpoint of it since they began."""
    found = []
    for lock in (scratch / ".locks").glob("*.lock"):
        checkpoint = scratch / ".checkpoints" / lock.stem / "training.ckpt"
        holder = holder_of(lock)
        if holder is not None and checkpoint.exists():
            begun = psutil.Process(holder).create_time()
            found += [holder] * (checkpoint.stat().st_mtime > begun)
    return found


def stop_command(results: Path, claims: Path, signals: Sequence[int]) -> tuple[int, str]:
    """Start the command, send it signals while it trains; return the exit code and its last line."""
    command = start(results, claims, "--cluster", "local:2")
    found: list[int] = []

    def is_training() -> bool:
        assert command.poll() is None, command.communicate()
        found[:] = trainers(results / ".cluster" / "scratch" / "dask-scratch-space" / "vgtemplate")
        return bool(found)

    wait_until(is_training, 300)
    # Held until it is asked to end: on a busy machine it could have ended before.
    holder = found[0]
    stop(holder)
    for number in signals:
        if number == signal.SIGINT:
            os.killpg(command.pid, number)
        else:
            command.send_signal(number)
        wait_until(lambda: is_asked_to_end(holder))
    if len(signals) > 1:
        command.wait(60)
    resume(holder)
    _, errors = command.communicate(timeout=120)
    wait_until(lambda: not group_of(command.pid), 60)
    return command.wait(0), errors.strip().splitlines()[-1]


def outcome(results: Path, claims: Path, *arguments: str) -> tuple[Any, dict[str, str | None]]:
    """Let the command come to its end; return what it judged, and the weights of its records."""
    command = start(results, claims, *arguments, spawns="--cluster" in arguments)
    output, errors = command.communicate(timeout=300)
    assert command.wait(0) == 0, errors
    wait_until(lambda: not group_of(command.pid), 60)
    judged = [{name: value for name, value in each.items() if name != "wall_seconds"} for each in json.loads(output)]
    return judged, {record.key: record.weights_sha256 for record in read_all(results)}


def test_command_on_a_cluster_ends_when_it_is_asked_to_and_goes_on_to_the_same_verdict(tmp_path: Path) -> None:
    """Takes its time: four clusters whose schedulers, workers and trainers start Python anew, as they do for a user."""
    claims, there, here = tmp_path / "claims", tmp_path / "there", tmp_path / "here"
    write_claim(claims, steps=1000)
    assert stop_command(there, claims, [signal.SIGINT]) == (130, STOPPED)
    assert stop_command(there, claims, [signal.SIGTERM]) == (143, STOPPED)
    assert stop_command(there, claims, [signal.SIGINT, signal.SIGINT]) == (130, AT_ONCE)
    judged, weights = outcome(there, claims, "--cluster", "local:2")
    parts = [part for record in read_all(there) for part in record.environment.get("parts", [])]
    assert sum(part["from_step"] > 0 for part in parts) >= 3
    assert (judged, weights) == outcome(here, claims, "--jobs", "2")
