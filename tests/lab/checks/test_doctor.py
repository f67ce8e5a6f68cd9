"""The checks of the doctor: what they count, on a few of the zoo's trainings; never how long anything takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks.doctor import zoo
from benchmarks.doctor.run import main
from vgtemplate.doctor.report import Report
from vgtemplate.lab import check_job
from vgtemplate.lab.check_job import plan_check
from vgtemplate.lab.checks import doctor
from vgtemplate.lab.checks.registry import load_check


@pytest.mark.slow
def test_shares_are_those_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes its time: whatever library has a network in the zoo is loaded."""
    monkeypatch.setattr(doctor, "_ZOO", "calibration")
    cases = zoo.cases("calibration")
    ill = [case.name for case in cases if case.label == "loss-head-mismatch"][:2]
    healthy = [case.name for case in cases if case.kind == "healthy"][:1]
    only = ["--only", ",".join([*ill, *healthy]), "--jobs", "1"]

    def run_here(command: list[str], check: bool, **_: Any) -> None:
        assert check
        assert command[:3] == [sys.executable, "-m", "benchmarks.doctor"]
        CliRunner().invoke(main, [*command[3:], *only], catch_exceptions=False)

    monkeypatch.setattr(doctor.subprocess, "run", run_here)
    assert load_check("doctor_finds_faults")() == {"found": 1.0, "right_code": 1.0, "false_alarms": 0.0}


def test_ratio_is_watched_over_alone_whichever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {doctor.watch: 3.0}
    monkeypatch.setattr(doctor, "_seconds", lambda way: seconds.get(way, 2.0))
    assert doctor.doctor_costs_little()["time_ratio"] == [1.5] * 10


def test_training_is_seen_while_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_STEPS", 2)
    reports: list[Report] = []

    @contextmanager
    def kept(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        with doctor.watch(model, optimizer) as report:
            yield
        reports.append(report)

    assert doctor._seconds(kept) > 0
    assert [report.steps for report in reports] == [[0, 1]]


def test_change_of_the_doctor_makes_its_record_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[tuple[str, ...]] = []
    monkeypatch.setattr(check_job, "source_hash", lambda parts: named.append(parts) or "")
    plan_check("it", "doctor_finds_faults")
    plan_check("it", "derivative_bounds")
    assert set(named[0]) - set(named[1]) == {"doctor", "watching"}
