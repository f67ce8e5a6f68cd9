"""What is said while jobs run: the time left, what has failed, and, where there is no terminal, how far it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job
from vgtemplate.lab.cli import progress
from vgtemplate.lab.cli.progress import Estimate, run_with_progress
from vgtemplate.lab.worker import How


def jobs(*costs: float) -> list[Job]:
    """Jobs whose names are their costs; `of_known_cost` makes them so."""
    return [Job(f"key{index}", str(cost), "a-claim", ArmConfig(), (0,)) for index, cost in enumerate(costs)]


@pytest.fixture(autouse=True)
def of_known_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "task_seconds", lambda job: float(job.name))


def test_work_is_shared_by_the_workers_but_one_job_by_none() -> None:
    assert Estimate(jobs(4, 4, 4), 2).seconds(0.0) == 6
    assert Estimate(jobs(10, 1), 2).seconds(0.0) == 10
    assert Estimate(jobs(3), 8).seconds(0.0) == 3
    assert Estimate([], 2).seconds(0.0) == 0


def test_running_jobs_count_for_what_is_left_of_them() -> None:
    todo = jobs(10, 6)
    estimate = Estimate(todo, 1)
    estimate.start(todo[0], 100.0)
    estimate.start(todo[0], 103.0)
    assert estimate.seconds(104.0) == 12
    assert estimate.seconds(500.0) == 6


def test_a_slower_machine_is_noticed() -> None:
    todo = jobs(10, 6)
    estimate = Estimate(todo, 1)
    estimate.start(todo[0], 0.0)
    estimate.finish(todo[0], 30.0)
    assert estimate.seconds(30.0) == 18


def test_every_end_is_handed_on_and_failures_are_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = todo = jobs(1, 2)

    def run(given: Any, *_: Any, watch: Any, say: Any, **__: Any) -> Iterator[tuple[Job, str | None]]:
        watch(list(given))
        say("a worker [died]")
        yield first, None
        yield second, "a [reason]"

    monkeypatch.setattr(progress, "run_jobs", run)
    console = Console(file=io.StringIO(), record=True, width=200)
    ended: list[tuple[Any, str | None]] = []
    how = How(tmp_path, tmp_path, 2, "cpu")
    failures = run_with_progress(todo, how, console, lambda job, failure: ended.append((job, failure)))
    assert failures == {second.key: "a [reason]"}
    assert ended == [(first, None), (second, "a [reason]")]
    text = console.export_text()
    assert "failed a-claim: 2: a [reason]" in text
    assert "a worker [died]" in text


@pytest.mark.parametrize("is_terminal", [False, True])
def test_where_there_is_no_terminal_a_line_every_half_minute_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    todo = jobs(*[40.0] * 6)
    clock = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)

    def run(given: Any, *_: Any, watch: Any, **__: Any) -> Iterator[tuple[Job, str | None]]:
        nonlocal clock
        for job in given:
            for _second in range(20):
                watch(given[given.index(job) :])
                clock += 1
            yield job, None

    monkeypatch.setattr(progress, "run_jobs", run)
    console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, legacy_windows=False)
    run_with_progress(todo, How(tmp_path, tmp_path, 1, "cpu"), console)
    assert isinstance(console.file, io.StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if "arms done" in line]
    if is_terminal:
        assert lines == []
        return
    done = [line.partition(" arms done, about ")[0] for line in lines]
    assert done == ["1 of 6", "3 of 6", "4 of 6"]
    running = "running: a-claim: 40.0 | a-claim: 40.0 | a-claim: 40.0 | a-claim: 40.0"
    assert lines[0].endswith(f" left; {running} | 1 more")
    assert lines[1].endswith(" left; running: a-claim: 40.0 | a-claim: 40.0 | a-claim: 40.0")
