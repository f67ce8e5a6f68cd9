"""One cluster for all tests that do not disturb it, and the small arms that are trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job, Keys
from vgtemplate.lab.cluster.site import close_site


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    for _ in range(2):
        started.start_worker()
    yield started
    close_site()
    started.close()


@pytest.fixture
def fresh_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler of the test's own, which loses a silent worker after three seconds; its workers are the test's."""
    started = Cluster(tmp_path / "cluster", DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    yield started
    close_site()
    started.close()


def arm(name: str, seeds: Sequence[int] = (0, 1), dataset: str = "digits", **training: Any) -> Job:
    """A small arm; by its name it is told apart from others of the same settings."""
    content = {
        "model": {"depth": 2, "width": 8},
        "data": {"dataset": dataset, "num_train": 200, "num_test": 100},
        "training": {"steps": 5} | training,
        "probes": {"every": 0},
    }
    return Keys(Path()).job("it", name, ArmConfig.model_validate(content), seeds)
