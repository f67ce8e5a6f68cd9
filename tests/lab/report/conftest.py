"""Claims, records and results as a reproduction leaves them, small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.judge import judge_records
from vgtemplate.lab.result import Result
from vgtemplate.records import Record


def build_record(name: str, seeds: int = 3, depth: int = 4, steps: int = 60, **series: Any) -> Record:
    """A record whose gradient falls by half a decade per layer, and whose loss falls from 2 to 1."""
    fall = -0.5 * np.arange(depth)[::-1] + 0.01 * np.arange(seeds)[:, None]
    measured: dict[str, Any] = {
        "gradient_rms": 10.0 ** fall[:, None, :],
        "signal_rms": np.ones((seeds, 1, depth)),
        "train_loss": np.linspace(2, 1, steps) + 0.01 * np.arange(seeds)[:, None],
        "test_accuracy": 0.9 + 0.01 * np.arange(seeds),
        "diverged_at": np.full(seeds, -1),
    }
    return Record(
        key=f"key-{name}",
        name=name,
        configuration={"model": {"kind": "mlp", "depth": depth, "activation": name}, "optimiser": {"lr": 0.1}},
        seeds=tuple(range(seeds)),
        dataset={"name": "digits"},
        environment={"device": "cpu", "device_name": "a processor", "versions": {"torch": "2.15"}, "commit": "c0ffee"},
        wall_seconds=1.0,
        series=measured | series,
    )


def build_claim(name: str = "sigmoid-vanishes", arms: Iterable[str] = ("sigmoid",), **settings: Any) -> ClaimConfig:
    """A claim with one part per arm: its gradient slope is below -0.3."""
    parts = [{"metric": "gradient_slope", "arms": [arm], "label": arm, "threshold": "< -0.3"} for arm in arms]
    content = {
        "id": name,
        "articles": ["bn-relu"],
        "statement": "It vanishes.",
        "kind": "initial",
        "arms": {arm: {} for arm in arms},
        "parts": parts,
        "literature": "True.",
    }
    return ClaimConfig.model_validate(content | settings)


def build_result(claim: ClaimConfig, records: Mapping[str, Record], **changes: Any) -> Result:
    """The result of a judged claim, some of its fields changed."""
    result = Result(
        claim=claim,
        verdict=judge_records(claim, records),
        keys={arm: (record.key,) for arm, record in records.items()},
        dataset="digits",
        seeds=next(iter(records.values())).seeds,
        setting="quick",
        wall_seconds=1.0,
        slopes={},
    )
    return replace(result, **changes)


def read_from(records: Iterable[Record]) -> Callable[[tuple[str, ...]], Record | None]:
    """What finds a record by its keys."""
    return {(record.key,): record for record in records}.get


@pytest.fixture
def reader() -> Callable[..., Callable[[tuple[str, ...]], Record | None]]:
    return read_from


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    return build_record


@pytest.fixture(scope="session")
def make_claim() -> Callable[..., ClaimConfig]:
    return build_claim


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    return build_result


@pytest.fixture
def experiments() -> Path:
    """The register's claims."""
    return Path(__file__).parents[3] / "experiments" / "claims"
