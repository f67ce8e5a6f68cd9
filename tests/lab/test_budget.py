"""What is chosen for a budget: against the sums done by hand, and against every other choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.budget import share_out
from vgtemplate.lab.plan import _on_data


@pytest.fixture(autouse=True, scope="module")
def costs_as_given() -> Iterator[None]:
    """What a job costs is what the test says, not what its configuration is estimated to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vgtemplate.lab.budget.task_seconds", lambda job: job.cost)
        yield


def plan(setting: str, costs: dict[str, dict[str, float]]) -> Any:
    """A plan whose claims need jobs of the given costs; equal names are shared."""
    jobs = {f"{setting}-{name}": SimpleNamespace(cost=cost) for each in costs.values() for name, cost in each.items()}
    keys = {claim: {name: f"{setting}-{name}" for name in jobs} for claim, jobs in costs.items()}
    return SimpleNamespace(claims=dict.fromkeys(costs), jobs=jobs, keys=keys, setting=setting)


def settings(
    full: dict[str, dict[str, float]], short: dict[str, dict[str, float]], budget: float, workers: int = 1, **kw: Any
) -> tuple[dict[str, str | None], float]:
    plans = plan("full", full), plan("short", short)
    missing = kw.get("missing", {key for each in plans for key in each.jobs})
    shares, seconds = share_out(*plans, missing, budget, workers)
    return {claim: share.setting for claim, share in shares.items()}, seconds


FULL = {"a": {"x": 10.0}, "b": {"y": 100.0}, "c": {"z": 1000.0}}
SHORT = {"a": {"x": 1.0}, "b": {"y": 10.0}, "c": {"z": 100.0}}


@pytest.mark.parametrize(
    ("budget", "expected", "seconds"),
    [
        (0.5, {"a": None, "b": None, "c": None}, 0),
        (1, {"a": "short", "b": None, "c": None}, 1),
        (11, {"a": "short", "b": "short", "c": None}, 11),
        (20, {"a": "full", "b": "short", "c": None}, 20),
        (111, {"a": "short", "b": "short", "c": "short"}, 111),
        (120, {"a": "full", "b": "short", "c": "short"}, 120),
        (210, {"a": "full", "b": "full", "c": "short"}, 210),
        (1110, {"a": "full", "b": "full", "c": "full"}, 1110),
    ],
)
def test_first_many_then_long(budget: float, expected: dict[str, str | None], seconds: float) -> None:
    assert settings(FULL, SHORT, budget) == (expected, seconds)


def test_a_shared_arm_is_counted_once() -> None:
    full = {"a": {"x": 10.0}, "b": {"x": 10.0}}
    short = {"a": {"x": 6.0}, "b": {"x": 6.0}}
    assert settings(full, short, 6)[0] == {"a": "short", "b": "short"}
    assert settings(full, short, 10) == ({"a": "short", "b": "short"}, 6)
    # A full and a short one cost both; two full ones share.
    assert settings(full, short, 16) == ({"a": "full", "b": "full"}, 10)


def test_what_has_a_record_costs_nothing() -> None:
    assert settings(FULL, SHORT, 1, missing={"short-x", "full-x", "short-y"})[0] == {
        "a": "short", "b": "full", "c": "full",
    }  # fmt: skip


def test_two_workers_do_twice_as_much_but_no_job_faster() -> None:
    assert settings(FULL, SHORT, 55, workers=2)[0] == {"a": "full", "b": "short", "c": None}
    assert settings({"a": {"x": 60.0}}, {"a": {"x": 50.0}}, 40, workers=2)[0] == {"a": None}


COSTS = st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 100), min_size=1, max_size=4)


@given(full=COSTS, budget=st.floats(0.05, 300), workers=st.integers(1, 3))
def test_never_over_the_budget_and_never_less_for_more(full: dict[str, float], budget: float, workers: int) -> None:
    longer = {claim: {claim: cost} for claim, cost in full.items()}
    shorter = {claim: {claim: cost / 10} for claim, cost in full.items()}
    chosen, seconds = settings(longer, shorter, budget, workers)
    assert seconds <= budget
    more, _ = settings(longer, shorter, 2 * budget, workers)
    assert sum(setting is not None for setting in more.values()) >= sum(s is not None for s in chosen.values())
    left_out = [claim for claim, setting in chosen.items() if setting is None]
    taken = sum(shorter[claim][claim] for claim in chosen if claim not in left_out)
    for claim in left_out:
        cost = shorter[claim][claim]
        assert cost > budget or (taken + cost) / workers > budget * (1 - 1e-9)


def test_a_folder_takes_the_place_of_cifar10_and_of_nothing_else() -> None:
    named = {name: ArmConfig.model_validate({"data": {"dataset": name}}) for name in ("auto", "cifar10", "kmnist")}
    chosen = {name: _on_data(config, "mnist", Path("pictures")).data for name, config in named.items()}
    assert {name: data.dataset for name, data in chosen.items()} == {
        "auto": "mnist", "cifar10": "image_folder", "kmnist": "kmnist",
    }  # fmt: skip
    assert [data.path for data in chosen.values()] == [None, "pictures", None]
    assert _on_data(named["cifar10"], "mnist", None).data.dataset == "cifar10"
