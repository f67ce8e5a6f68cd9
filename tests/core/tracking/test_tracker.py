"""Against real MLflow stores, looked at with MLflow's own client and with plain SQL."""

import json
import os
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import Running
from vgtemplate.config.strict import MOST
from vgtemplate.records import write_record
from vgtemplate.tracking.outbox import Description, Run, missed, pending, remember
from vgtemplate.tracking.runs import Extras
from vgtemplate.tracking.tracker import Tracker

pytestmark = pytest.mark.slow

PLAIN = Run("sigmoid-vanishes", "plain", "k1")
WORDS = Description(
    "sigmoid-vanishes",
    "confirmed: gradients shrink",
    "- slope: -0.5",
    {"verdict": "confirmed", "literature": "true; theory sqrt(chi1)"},
)


def client(database: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{database}")


def runs_of(database: Path, experiment: str) -> list[Any]:
    mlflow = client(database)
    return list(mlflow.search_runs([mlflow.get_experiment_by_name(experiment).experiment_id]))


def active_runs(database: Path) -> list[tuple[str, str, str]]:
    query = (
        "select e.name, r.name, r.status from runs r join experiments e using (experiment_id) "
        "where r.lifecycle_stage = 'active' order by 1, 2"
    )
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


def send_in_process(results: Path, code: str) -> Running:
    """Start a process that has `tracker`, `results` and what the tests need of the room, and runs `code`."""
    head = (
        "import os, sys; from pathlib import Path\n"
        "from vgtemplate.tracking.outbox import Run, missed\nfrom vgtemplate.tracking.tracker import Tracker\n"
        f"results = Path({str(results)!r}); tracker = Tracker(results)\n"
    )
    return Running(cwd=results.parent, environment=os.environ, code=head + code)


def test_run_shows_all_of_the_record(results, database, store_record):
    store_record(depth=4, probes=2)
    assert Tracker(results, Extras(lambda record, arm: {})).send(PLAIN) is None
    (run,) = runs_of(database, "sigmoid-vanishes")
    assert (run.info.run_name, run.info.status, run.info.end_time - run.info.start_time) == ("plain", "FINISHED", 2500)
    assert run.data.params == {
        "model.depth": "4",
        "model.width": "[64, 128]",
        "training.epochs": "None",
        "seeds": "seeds 0 to 2",
        "num_seeds": "3",
    }
    expected = {"vgt.key": "k1", "vgt.arm": "plain", "vgt.commit": "c0ffee", "vgt.dirty": "True"}
    expected |= {"vgt.versions.torch": "2.15.0", "vgt.dataset": "digits", "mlflow.source.git.commit": "c0ffee"}
    assert run.data.tags.items() >= expected.items()
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "0123456789ab")
    assert json.loads(data.dataset.profile)["fingerprint"] == "0123456789abcdef" * 4
    profile = client(database).get_metric_history(run.info.run_id, "layer_as_step/gradient_log10_at_start")
    assert {point.step: point.value for point in profile} == pytest.approx({1: -4, 2: -3, 3: -2, 4: -1})


def test_artifacts_are_the_record_and_the_pictures(results, database, store_record):
    record = store_record()
    Tracker(results, Extras(lambda record, arm: {"picture.png": f"{record.key} {arm}".encode()})).send(PLAIN)
    (run,) = runs_of(database, "sigmoid-vanishes")
    folder = results / "mlartifacts" / run.info.run_id / "artifacts"
    assert {path.name for path in folder.iterdir()} == {"record.json", "series.npz", "picture.png"}
    sent = np.load(folder / "series.npz")["gradient_rms"]
    np.testing.assert_array_equal(sent, record.series["gradient_rms"])
    assert (folder / "picture.png").read_bytes() == b"k1 plain"


def test_long_values_are_cut_and_say_so(results, database, store_record):
    store_record(seeds=100)
    record = store_record(seeds=100)
    configuration = {**record.configuration, "note": "x" * 10000}
    write_record(results, replace(record, configuration=configuration, seeds=tuple(range(0, 200, 2))))
    assert Tracker(results).send(PLAIN) is None
    (run,) = runs_of(database, "sigmoid-vanishes")
    note = run.data.params["note"]
    assert len(note) == 6000
    assert note.startswith("xxx")
    assert note.endswith(" ... (cut, 10000 characters; the whole is in record.json)")
    assert run.data.params["seeds"] == "seeds " + ", ".join(map(str, range(0, 200, 2)))


def test_layers_of_a_network_of_ones_own_are_named(results, database, store_record):
    record = store_record(depth=2)
    configuration = {"model": {"factory": "nets:make"}, "data": {"num_train": MOST}}
    own = replace(record, configuration=configuration, labels={"layer": ["stem.0", "head" * 2000]})
    write_record(results, own)
    assert Tracker(results).send(PLAIN) is None
    (run,) = runs_of(database, "sigmoid-vanishes")
    layers = run.data.tags["vgt.layers"]
    assert layers.startswith("1 stem.0, 2 headhead")
    assert (len(layers), layers.endswith("record.json)")) == (5000, True)
    assert run.data.params["data.num_train"] == "all"


def test_infinite_values_never_reach_the_store_and_what_does_not_exist_is_nan(results, database, store_record):
    gradient = np.full((3, 1, 4), np.inf)
    gradient[:, :, 3] = np.nan
    store_record(gradient_rms=gradient, test_accuracy=np.array([np.nan, np.nan, np.nan]))
    assert Tracker(results).send(PLAIN) is None
    with sqlite3.connect(database) as connection:
        (largest,) = connection.execute("select max(abs(value)) from metrics where not is_nan").fetchone()
        missing = {name for (name,) in connection.execute("select key from metrics where is_nan")}
    assert largest < 1e6
    assert missing == {"test_accuracy", "test_accuracy_min", "test_accuracy_max"}
    (run,) = runs_of(database, "sigmoid-vanishes")
    assert run.data.tags["vgt.values_left_out"].startswith("4 ")
    assert run.info.status == "FINISHED"


def test_what_was_sent_is_not_sent_again(results, database, store_record):
    store_record()
    assert Tracker(results).send(PLAIN) is None
    before = database.read_bytes()
    assert Tracker(results).send(PLAIN) is None
    assert pending(results, [PLAIN]) == []
    assert database.read_bytes() == before


def test_lost_bookkeeping_does_not_double_a_run(results, database, store_record):
    store_record()
    Tracker(results).send(PLAIN)
    next((results / "tracking").glob("*/*.json")).unlink()
    assert Tracker(results).send(PLAIN) is None
    assert active_runs(database) == [("sigmoid-vanishes", "plain", "FINISHED")]
    assert missed(results) == []


def test_arm_shared_by_two_claims_is_a_run_in_each(results, database, store_record):
    store_record()
    tracker = Tracker(results)
    assert [tracker.send(PLAIN), tracker.send(Run("tanh-beats-sigmoid", "sigmoid", "k1"))] == [None, None]
    assert active_runs(database) == [
        ("sigmoid-vanishes", "plain", "FINISHED"),
        ("tanh-beats-sigmoid", "sigmoid", "FINISHED"),
    ]


def test_runs_of_an_experiment_have_different_colours(results, database, store_record):
    tracker = Tracker(results)
    for number, arm in enumerate(["plain", "batchnorm", "residual"]):
        store_record(f"k{number}")
        assert tracker.send(Run("e", arm, f"k{number}")) is None
    assert len({run.data.tags["mlflow.runColor"] for run in runs_of(database, "e")}) == 3


def test_process_killed_in_the_middle_of_sending_leaves_no_double(results, database, store_record):
    """Takes its time where it is the first to fork: the process that is forked from loads torch and MLflow."""
    store_record(probes=3)
    code = "import vgtemplate.tracking.runs as runs\nruns._add_files = lambda *_: os._exit(9)\n"
    code += "tracker.send(Run('sigmoid-vanishes', 'plain', 'k1'))"
    assert send_in_process(results, code).wait(60) == 9
    assert active_runs(database) == [("sigmoid-vanishes", "plain", "RUNNING")]
    assert missed(results) == [PLAIN]
    assert Tracker(results).send(PLAIN) is None
    assert active_runs(database) == [("sigmoid-vanishes", "plain", "FINISHED")]
    (run,) = runs_of(database, "sigmoid-vanishes")
    assert len(run.inputs.dataset_inputs) == 1
    history = client(database).get_metric_history(run.info.run_id, "gradient_log10/layer_001")
    assert [point.step for point in history] == [0, 10, 20]


def test_lost_answers_leave_no_second_run(results, database, store_record, monkeypatch):
    """Where no answer comes, mlflow's client asks again; on a slow server another run appears only later."""
    from mlflow import MlflowClient

    store_record()
    create, log, asked = MlflowClient.create_run, MlflowClient.log_artifact, []
    create_experiment = MlflowClient.create_experiment

    def create_experiment_twice(self, *arguments):
        create_experiment(self, *arguments)
        return create_experiment(self, *arguments)

    def create_twice(self, *arguments):
        asked.append(arguments)
        create(self, *arguments)
        return create(self, *arguments)

    def log_later(self, *arguments):
        if asked:
            create(self, *asked.pop())
        log(self, *arguments)

    monkeypatch.setattr(MlflowClient, "create_experiment", create_experiment_twice)
    monkeypatch.setattr(MlflowClient, "create_run", create_twice)
    monkeypatch.setattr(MlflowClient, "log_artifact", log_later)
    assert Tracker(results).send(PLAIN) is None
    assert active_runs(database) == [("sigmoid-vanishes", "plain", "FINISHED")]
    with sqlite3.connect(database) as connection:
        assert connection.execute("select count(*) from runs where lifecycle_stage = 'deleted'").fetchone() == (2,)


def test_four_processes_share_a_fresh_database(results, store_record):
    """Takes its time: a database that is not there yet is created by all of MLflow's migrations."""
    for key in ("k0", "k1", "k2", "k3", "shared"):
        store_record(key)
    code = (
        "said = [tracker.send(Run('e', name, name)) for name in (NAME, 'shared')]; sys.exit(str(said) * any(said) or 0)"
    )
    processes = [send_in_process(results, code.replace("NAME", f"'k{number}'")) for number in range(4)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)] == [
        (0, "", "")
    ] * 4
    names = ["k0", "k1", "k2", "k3", "shared"]
    assert active_runs(results / "mlflow.db") == [("e", name, "FINISHED") for name in names]


def test_process_killed_while_creating_the_database_does_no_harm(results, store_record):
    store_record()
    (results / ".creating-mlflow.db").write_bytes(b"half a database")
    assert Tracker(results).send(PLAIN) is None
    assert active_runs(results / "mlflow.db") == [("sigmoid-vanishes", "plain", "FINISHED")]


def test_unreachable_server_is_said_in_a_line_and_everything_is_sent_later(
    results, database, store_record, monkeypatch, recwarn
):
    store_record()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://alice:secret@127.0.0.1:{port}")
    tracker = Tracker(results)
    said = [tracker.send(PLAIN), tracker.send(Run("e", "plain", "k1")), tracker.send(WORDS)]
    assert len(set(said)) == 1
    assert said[0].startswith(f"MLflow at http://127.0.0.1:{port} cannot be reached: ")
    assert "refused" in said[0]
    assert "secret" not in said[0]
    assert "\n" not in said[0]
    assert not recwarn.list

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):
        tracker = Tracker(results)
        for parcel in missed(results):
            assert tracker.send(parcel) is None
    assert active_runs(database) == [("e", "plain", "FINISHED"), ("sigmoid-vanishes", "plain", "FINISHED")]


def test_server_that_never_answers_is_given_up_and_then_left_alone(results, store_record, monkeypatch):
    store_record()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracker = Tracker(results)
        assert "cannot be reached" in tracker.send(PLAIN)
        connections = 0
        for _ in range(2):
            try:
                while True:
                    silent.accept()[0].close()
                    connections += 1
            except TimeoutError:
                assert tracker.send(PLAIN) == tracker.failure
        assert connections == 1


@pytest.mark.parametrize("uri", ["file:///nowhere", "nonsense://x", "sqlite:////proc/none/x.db"])
def test_store_that_cannot_work_is_said_in_a_line(results, store_record, monkeypatch, uri):
    store_record()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    said = Tracker(results).send(PLAIN)
    assert said.startswith(f"MLflow at {uri} cannot be reached: ")
    assert missed(results) == [PLAIN]


def test_damaged_database_is_said_in_a_line_and_left_as_it_is(results, store_record):
    store_record()
    (results / "mlflow.db").write_bytes(b"no database " * 1000)
    process = send_in_process(results, "print(tracker.send(Run('e', 'plain', 'k1')))")
    said, errors = process.communicate(timeout=60)
    assert said.startswith(f"MLflow at {results}/mlflow.db cannot be reached: ")
    assert "not a database" in said
    assert errors == ""
    assert (results / "mlflow.db").read_bytes() == b"no database " * 1000


def test_one_run_that_is_refused_does_not_hold_up_the_others(results, database, store_record):
    def draw(record, arm):
        if arm == "plain":
            raise ValueError("cannot be drawn")
        return {}

    store_record()
    tracker = Tracker(results, Extras(draw))
    assert tracker.send(PLAIN) == "MLflow refuses: cannot be drawn"
    assert tracker.send(Run("sigmoid-vanishes", "other", "k1")) is None
    assert tracker.failure is None
    assert missed(results) == [PLAIN]
    assert active_runs(database) == [("sigmoid-vanishes", "other", "FINISHED")]


def test_run_whose_record_is_damaged_is_named_and_forgotten(results, database, store_record):
    store_record()
    remember(results, PLAIN)
    (results / "k1" / "series.npz").write_bytes(b"")
    assert "no intact record" in Tracker(results).send(PLAIN)
    assert missed(results) == []
    assert active_runs(database) == []


def test_deleted_database_is_filled_again(results, database, store_record):
    """Takes its time: the database is created anew by all of MLflow's migrations."""
    store_record()
    Tracker(results).send(PLAIN)
    remember(results, Run("e", "other", "k1"))
    database.unlink()
    # A process of its own: in this one mlflow still holds the deleted file open.
    process = send_in_process(results, "sys.exit(str([tracker.send(run) for run in missed(results)]))")
    assert process.communicate(timeout=60) == ("", "[None, None]\n")
    assert active_runs(database) == [("e", "other", "FINISHED"), ("sigmoid-vanishes", "plain", "FINISHED")]


def test_deleted_experiment_comes_back_with_its_next_run(results, database, store_record):
    store_record()
    Tracker(results).send(PLAIN)
    mlflow = client(database)
    mlflow.delete_experiment(mlflow.get_experiment_by_name("sigmoid-vanishes").experiment_id)
    assert Tracker(results).send(Run("sigmoid-vanishes", "other", "k1")) is None
    assert ("sigmoid-vanishes", "other", "FINISHED") in active_runs(database)


def test_description_is_the_experiments_until_it_changes(results, database):
    assert Tracker(results).send(WORDS) is None
    experiment = client(database).get_experiment_by_name("sigmoid-vanishes")
    assert experiment.tags["vgt.verdict"] == "confirmed"
    assert experiment.tags["vgt.literature"] == "true; theory sqrt(chi1)"
    first_line, *rest = experiment.tags["mlflow.note.content"].splitlines()
    link = f"(#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=arms&workflowType=machine_learning)"
    assert first_line.startswith("confirmed: gradients shrink")
    assert link in first_line
    assert "- slope: -0.5" in rest

    before = database.read_bytes()
    assert Tracker(results).send(WORDS) is None
    assert database.read_bytes() == before
    refuted = replace(WORDS, tags={"verdict": "refuted"})
    assert Tracker(results).send(refuted) is None
    assert client(database).get_experiment(experiment.experiment_id).tags["vgt.verdict"] == "refuted"


def test_sending_prints_nothing_and_touches_nothing_but_the_results(results, store_record, tmp_path):
    """Takes its time: what MLflow would print it prints while it creates its database."""
    store_record()
    (tmp_path / "here").mkdir()
    code = f"os.chdir({str(tmp_path / 'here')!r}); sys.exit(tracker.send(Run('e', 'plain', 'k1')))"
    process = send_in_process(results, code)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert not any((tmp_path / "here").iterdir())
    assert {path.name for path in results.iterdir()} == {"k1", "mlflow.db", "mlartifacts", "tracking"}


def test_sender_that_is_killed_gives_the_lock_back(results, database, store_record):
    store_record()
    code = (
        "from vgtemplate.tracking.outbox import sending\n"
        "with sending(results): Path('held').touch(); import time; time.sleep(600)"
    )
    holder = send_in_process(results, code)
    while not (results.parent / "held").exists():
        assert holder.poll() is None
        time.sleep(0.02)
    holder.kill()
    holder.communicate()
    assert Tracker(results).send(PLAIN) is None
