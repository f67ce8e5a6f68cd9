"""A training is shown in a real MLflow store while it goes on, and its run is the one that the record completes."""

import time
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.tracking.live import LiveRun
from vgtemplate.tracking.outbox import Run, missed, remember
from vgtemplate.tracking.tracker import Tracker

pytestmark = pytest.mark.slow

PLAIN = Run("sigmoid-vanishes", "plain", "k1", label="plain depth=4")
CURVE = "curves/train_loss"


def the_run(database: Path) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    (run,) = client.search_runs([client.get_experiment_by_name("sigmoid-vanishes").experiment_id])
    return run, {point.step: point.value for point in client.get_metric_history(run.info.run_id, CURVE)}


def live(results: Path) -> LiveRun:
    return LiveRun(results, PLAIN, {"model": {"depth": 4, "norm": "none"}}, (0, 1, 2))


def wait_for(database: Path, steps: set[int]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            run, curve = the_run(database)
        except (AttributeError, ValueError):  # there is no experiment or no run yet
            curve = {}
        if set(curve) >= steps:
            return run
        time.sleep(0.2)
    raise AssertionError(f"steps {steps} did not arrive: {curve}")


def test_run_is_seen_while_it_trains_and_is_completed_by_its_record(results, database, store_record):
    with live(results) as shown:
        shown.tell(0, {"train_loss": 9.0})
        run = wait_for(database, {0})
        assert (run.info.run_name, run.info.status, run.data.params["model.depth"]) == ("plain depth=4", "RUNNING", "4")
        assert missed(results) == []  # its record is not there yet
        shown.tell(7, {"train_loss": 8.0, "validation_loss": 5.0})
        wait_for(database, {0, 7})
    record = store_record()
    assert missed(results) == [PLAIN]
    assert Tracker(results).send(PLAIN) is None
    completed, curve = the_run(database)
    assert (completed.info.run_id, completed.info.status) == (run.info.run_id, "FINISHED")
    # What was seen live stays; everything else is the record's.
    assert (curve[0], curve[7]) == (9.0, 8.0)
    assert curve[5] == pytest.approx(float(record.series["train_loss"][1, 5]))
    assert len(curve) == record.series["train_loss"].shape[1]
    assert completed.info.start_time < completed.info.end_time


def test_stopped_training_is_marked_and_taken_up_in_the_same_run(results, database):
    def train() -> None:
        with live(results) as shown:
            shown.tell(0, {"train_loss": 3.0})
            wait_for(database, {0})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    stopped, _ = the_run(database)
    assert stopped.info.status == "KILLED"
    with live(results) as again:
        again.tell(5, {"train_loss": 2.0})
        run = wait_for(database, {0, 5})
    assert (run.info.run_id, run.info.status) == (stopped.info.run_id, "RUNNING")


def test_finished_run_is_left_alone(results, database, store_record):
    store_record()
    assert Tracker(results).send(PLAIN) is None
    with live(results) as shown:
        shown.tell(100, {"train_loss": 1.0})
    run, curve = the_run(database)
    assert run.info.status == "FINISHED"
    assert 100 not in curve


def test_store_that_is_down_holds_nobody_up(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with live(results) as shown:
        for step in range(1000):
            shown.tell(step, {"train_loss": 1.0})


def test_nothing_told_opens_no_run(results, database):
    remember(results, PLAIN)
    before = database.read_bytes()
    with live(results):
        pass
    assert database.read_bytes() == before
