"""The time left: from costs first, then from how long the finished jobs really took."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from vgtemplate.lab.cli import progress
from vgtemplate.lab.cli.progress import Estimate, describe_seconds, run_with_progress
from vgtemplate.lab.plan import Job


class Fixed(Job):
    """A job of a cost of one's own."""

    @property
    def cost(self) -> float:
        return float(self.name)


def jobs(*costs: float) -> list[Job]:
    return [Fixed(f"key{index}", str(cost), None, None, (), ("a-claim",)) for index, cost in enumerate(costs)]


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


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (600, "10 min")])
def test_time_is_written_roughly(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_failures_are_returned_and_the_others_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = todo = jobs(1, 2)

    def run(given, results, root, num_workers, accelerator, fresh, threads, watch, say):  # type: ignore[no-untyped-def]
        watch(list(given))
        say("a worker [died]")
        yield first, None
        yield second, "a [reason]"

    monkeypatch.setattr(progress, "run_jobs", run)
    console = Console(record=True, width=200)
    finished: list[Job] = []
    failures = run_with_progress(todo, tmp_path, tmp_path, 2, "cpu", console, finished.append)
    assert failures == {second.key: "a [reason]"}
    assert finished == [first]
    text = console.export_text()
    assert "failed a-claim: 2: a [reason]" in text
    assert "a worker [died]" in text
