"""Networks in a real MLflow store, used as others use them: loaded by mlflow, and by its command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vgtemplate.config.errors import UserError
from vgtemplate.records import Record
from vgtemplate.tracking.networks import Network
from vgtemplate.tracking.outbox import Registration, Run, identifier, missed, remember
from vgtemplate.tracking.runs import Extras
from vgtemplate.tracking.tracker import Tracker

pytestmark = pytest.mark.slow

PLAIN = Run("sigmoid-vanishes", "plain", "k1")
REGISTERED = Registration("sigmoid-vanishes", "plain", "k1", "my net")
INPUTS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)


class Doubled(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * inputs[:, :2]


class Branching(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if float(inputs.sum()) > 0 else -inputs


def tracker(results: Path, module: nn.Module) -> Tracker:
    def find(record: Record, folder: Path) -> Network:
        with torch.no_grad():
            outputs = module(torch.from_numpy(INPUTS)).numpy()
        return Network(module, INPUTS, outputs, {"seed": 2}, [f"torch=={torch.__version__.partition('+')[0]}"])

    return Tracker(results, Extras(network=find))


def client(database: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{database}")


def test_network_is_logged_registered_once_and_scored_by_mlflow_alone(results, database, store_record, tmp_path):
    """Takes its time: MLflow's command, which starts Python anew, loads all of MLflow and torch."""
    store_record()
    send = tracker(results, Doubled()).send
    assert [send(PLAIN), send(REGISTERED), send(REGISTERED)] == [None, None, None]
    store = client(database)
    run = store.get_run(identifier(results, PLAIN))
    assert run.data.tags["vgt.network"] == "seed: 2"
    (version,) = store.search_model_versions("name = 'my net'")
    assert (version.run_id, version.tags["vgt.arm"]) == (run.info.run_id, "plain")
    assert "MLFLOW_TRACKING_URI" not in os.environ

    # A process that knows nothing of this package, from another folder, with a batch of another size.
    (tmp_path / "inputs.json").write_text(json.dumps({"inputs": [[1, 0, 0], [0, 3, 0], [5, 5, 5]]}))
    command = ["-m", "mlflow", "models", "predict", "-m", "models:/my net/1", "-i", "inputs.json", "-t", "json"]
    done = subprocess.run(
        [sys.executable, *command, "-o", "outputs.json", "--env-manager", "local"],
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{database}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs.json").read_text())["predictions"] == [[2, 0], [0, 6], [10, 10]]


def test_lost_answer_leaves_no_second_version(results, database, store_record, monkeypatch):
    from mlflow import MlflowClient

    create = MlflowClient.create_model_version

    def twice(self, *arguments, **settings):
        create(self, *arguments, **settings)
        return create(self, *arguments, **settings)

    store_record()
    monkeypatch.setattr(MlflowClient, "create_model_version", twice)
    send = tracker(results, Doubled()).send
    assert [send(PLAIN), send(REGISTERED)] == [None, None]
    # Killed before it was noted that it is sent.
    for path in (results / "tracking").glob("*/*as_*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sent": {}}))
    assert send(REGISTERED) is None
    assert [version.version for version in client(database).search_model_versions("name = 'my net'")] == [1]


def test_network_that_cannot_be_exported_costs_a_tag_and_no_run(results, database, store_record):
    store_record()
    send = tracker(results, Branching()).send
    assert send(PLAIN) is None
    store = client(database)
    run = store.get_run(identifier(results, PLAIN))
    assert run.info.status == "FINISHED"
    assert run.data.tags["vgt.network"].startswith("not kept: ")
    assert store.search_logged_models([run.info.experiment_id]) == []
    said = send(REGISTERED)
    assert said is not None
    assert said.startswith("plain: there is no network to register (not kept: ")
    assert missed(results) == [REGISTERED]


def test_reason_why_there_is_no_network_is_kept(results, database, store_record):
    def find(record: Record, folder: Path) -> Network:
        raise UserError("its inputs are a dict, not one tensor")

    store_record()
    assert Tracker(results, Extras(network=find)).send(PLAIN) is None
    tags = client(database).get_run(identifier(results, PLAIN)).data.tags
    assert tags["vgt.network"] == "not kept: its inputs are a dict, not one tensor"


def test_seeds_are_runs_below_their_arms(results, database, store_record):
    record = store_record(seeds=3)
    seeds = [Run("sigmoid-vanishes", "plain", "k1", seed) for seed in (0, 2)]
    send = Tracker(results).send
    assert send(seeds[0]) == "sigmoid-vanishes: plain: its run has to be sent before those of its seeds"
    for run in (PLAIN, *seeds):
        remember(results, run)
    assert [send(run) for run in missed(results)] == [None, None, None]
    store = client(database)
    arm = store.get_run(identifier(results, PLAIN))
    seed = store.get_run(identifier(results, seeds[1]))
    assert (seed.info.run_name, seed.data.tags["mlflow.parentRunId"]) == ("plain, seed 2", arm.info.run_id)
    assert seed.data.metrics["test_accuracy"] == pytest.approx(record.series["test_accuracy"][2])
    assert seed.data.params["seeds"] == "seed 2"
    assert "test_accuracy_min" not in seed.data.metrics
    assert send(PLAIN) is None  # neither takes the other for itself
    assert len(store.search_runs([arm.info.experiment_id])) == 3
