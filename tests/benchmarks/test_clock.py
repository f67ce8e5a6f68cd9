"""Rounds, ratios, and the command that prints them."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import device, looking_anywhere, startup
from benchmarks.__main__ import main
from benchmarks.clock import Clock, Contestant, Spread, race, ratios
from tests.processes import forking, run_vgt

REPOSITORY = Path(__file__).parents[2]


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is twice as slow in the second round changes no ratio."""
    seconds = {"ours": [1.0, 2.0, 1.5], "theirs": [3.0, 6.0, 4.5]}
    assert ratios(seconds, "ours") == {"ours": Spread(1, 1, 1), "theirs": Spread(3, 3, 3)}


def test_spread_is_median_least_and_most() -> None:
    assert Spread.of([4.0, 1.0, 2.0]) == Spread(2.0, 1.0, 4.0)
    assert str(Spread.of([4.0, 1.0, 2.0])) == "2 [1, 4]"


def test_clock_leaves_the_warm_up_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 17.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock(2, "cpu")
    for _ in range(5):
        clock.step()
    clock.stop()
    assert clock.seconds == 7.0


@pytest.mark.slow
def test_every_contestant_runs_once_a_round_and_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes its time where it is the first to fork: the process that is forked from loads torch and MLflow."""
    monkeypatch.setattr("multiprocessing.get_context", forking)
    said: list[str] = []
    contestants = {name: Contestant(partial(float, name), name == "2") for name in ("1", "2", "3")}
    assert race(contestants, 2, said.append, "x") == {"1": [1, 1], "2": [2, 2], "3": [3, 3]}
    assert [text.partition(", ")[0] for text in said] == ["x: 1", "x: 2", "x: 3", "x: 2", "x: 3", "x: 1"]


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["throughput", "looking", "startup", "scaling", "device"])
def test_command_prints_a_table_and_writes_its_figures(
    suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with the shortest of its works; the contestants run in others, which are forked.

    What is compiled is traced by torch, but no C++ is made of it, which takes a minute.
    """
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delitem(looking_anywhere.WORKS, "ResNet-18, 32 images of 32x32")
    kept = [("vgt --help", "ours"), ("the first step", "vgt train, one seed")]
    monkeypatch.setattr(startup, "COMMANDS", {key: startup.COMMANDS[key] for key in kept})
    monkeypatch.setitem(device.WAYS, "compiled", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr("multiprocessing.get_context", forking)
    threads = torch.get_num_threads()
    done = CliRunner().invoke(main, [suite, "--quick", "--rounds", "1", "--out", str(tmp_path)])
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / f"{suite}-cpu.json").read_text())
    assert written["settings"]["quick"] is True
    assert written["environment"]["threads"] == 1
    contestants = [row["contestant"] for row in written["rows"]]
    assert len(contestants) >= 2
    assert all(row["contestant"].split(",")[0][:12] in done.output for row in written["rows"])


@pytest.mark.slow
def test_wrong_arguments_are_refused() -> None:
    code = "import runpy; runpy.run_module('benchmarks', run_name='__main__')"
    done = run_vgt("nonsense", cwd=REPOSITORY, environment=os.environ, code=code)
    assert (done.returncode, "throughput" in done.stderr) == (2, True)
    refused = CliRunner().invoke(main, ["--threads", "0"])
    assert (refused.exit_code, "threads" in refused.output) == (2, True)
