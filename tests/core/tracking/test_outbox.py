import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from vgtemplate.tracking import outbox
from vgtemplate.tracking.outbox import (
    Description,
    Registration,
    Run,
    description_of,
    experiment_address,
    find_report,
    find_store,
    forget_store,
    identifier,
    is_sent,
    known_experiments,
    look_of,
    mark_sent,
    missed,
    newest_experiment,
    pending,
    remember,
    runs_of,
    sending,
)

PLAIN = Run("sigmoid-vanishes", "plain", "0a1b")


@pytest.fixture
def store(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder whose default database exists, and records of all keys that are named here."""
    for key in ("0a1b", "k"):
        (results / key).mkdir(parents=True)
    (results / "mlflow.db").touch()
    return results


def test_deciding_what_is_pending_imports_neither_mlflow_nor_torch_nor_matplotlib(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "import vgtemplate.cli.commands.ui, vgtemplate.cli.commands.track\n"
        "from vgtemplate.tracking.outbox import Run, missed, pending\n"
        "from vgtemplate.tracking.tracker import Tracker\n"
        "Tracker(Path('.')); pending(Path('.'), [Run('e', 'a', 'k')]); missed(Path('.'))\n"
        "sys.exit(' '.join({'mlflow', 'torch', 'matplotlib'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(tmp_path.iterdir())


def test_remembered_run_is_missed_until_it_is_sent(store):
    remember(store, PLAIN)
    assert missed(store) == [PLAIN]
    mark_sent(store, PLAIN, "run1")
    assert missed(store) == []
    assert pending(store, [PLAIN, Run("other", "plain", "0a1b")]) == [Run("other", "plain", "0a1b")]


def test_remembering_again_does_not_forget_that_it_was_sent(store):
    mark_sent(store, PLAIN, "run1")
    remember(store, PLAIN)
    assert is_sent(store, PLAIN)


@pytest.mark.parametrize("name", ["My Experiment", "a.b", "..", "a--b", "ä/b", "experiment.json"])
def test_any_name_survives_the_way_through_the_file_system(store, name):
    runs = {Run(name, "plain", "0a1b"), Run("e", name, "0a1b")}
    for run in runs:
        remember(store, run)
    assert set(missed(store)) == runs
    assert {(run.experiment, run.arm) for run in runs_of(store, name)} == {(name, "plain")}
    assert {path.parent.parent for path in store.rglob("*.json")} == {store / "tracking"}


def test_dashes_in_names_do_not_confuse_two_runs(store):
    mark_sent(store, Run("a--b", "c", "k"), "run1")
    assert not is_sent(store, Run("a", "b--c", "k"))


def test_each_store_is_remembered_by_itself(store, monkeypatch):
    mark_sent(store, PLAIN, "run1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team.example:5000")
    assert missed(store) == [PLAIN]
    mark_sent(store, PLAIN, "run2")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert is_sent(store, PLAIN)


def test_deleted_database_has_nothing(store):
    mark_sent(store, PLAIN, "run1")
    (store / "mlflow.db").unlink()
    assert missed(store) == [PLAIN]


def test_new_database_starts_from_nothing(store, monkeypatch):
    mark_sent(store, PLAIN, "run1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team.example:5000")
    mark_sent(store, PLAIN, "run2")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    forget_store(store)
    assert not is_sent(store, PLAIN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team.example:5000")
    assert is_sent(store, PLAIN)


def test_description_is_sent_again_only_in_other_words(store):
    confirmed = Description("sigmoid-vanishes", "it shrinks", "in full", {"verdict": "confirmed"})
    mark_sent(store, confirmed, "1")
    assert is_sent(store, confirmed)
    refuted = replace(confirmed, tags={"verdict": "refuted"})
    assert not is_sent(store, refuted)
    remember(store, refuted)
    assert missed(store) == [refuted]


def test_what_was_said_last_is_known(store):
    assert description_of(store, "e") is None
    said = Description("e", "it shrinks", "in full", {"verdict": "confirmed"}, ["model.depth"])
    remember(store, replace(said, headline="it grows"))
    remember(store, said)
    assert description_of(store, "e") == said


def test_verdict_that_an_earlier_version_noted_is_no_description(store):
    mark_sent(store, PLAIN, "run1")
    old = {"experiment": "sigmoid-vanishes", "statement": "it shrinks", "verdict": "confirmed", "literature": "true"}
    path = store / "tracking" / "sigmoid-vanishes" / "verdict.json"
    for sent in ({}, {"default": "7"}):
        path.write_text(json.dumps({**old, "text": "", "sent": sent}))
        assert missed(store) == []
        assert experiment_address(store, "sigmoid-vanishes") is None
        assert not is_sent(store, Description("sigmoid-vanishes", "it shrinks"))
        assert runs_of(store, "sigmoid-vanishes") == [PLAIN]


def test_damaged_marker_means_not_sent(store):
    mark_sent(store, PLAIN, "run1")
    next((store / "tracking").glob("*/*.json")).write_text("{")
    assert missed(store) == [PLAIN]


def test_run_that_has_not_ended_is_not_missed(store):
    waiting = Run("sigmoid-vanishes", "residual", "ff")
    remember(store, waiting)
    assert missed(store) == []
    (store / "ff").mkdir()
    assert missed(store) == [waiting]


def test_marker_of_an_earlier_version_is_a_run(store):
    folder = store / "tracking" / "sigmoid-vanishes"
    folder.mkdir(parents=True)
    (folder / "plain--0a1b.json").write_text('{"sent": {}}')
    assert missed(store) == [PLAIN]
    mark_sent(store, PLAIN, "run1")
    assert identifier(store, PLAIN) == "run1"


def test_parts_of_an_arm_are_sent_after_it_and_each_by_itself(store):
    seed, network = replace(PLAIN, seed=3), Registration("sigmoid-vanishes", "plain", "0a1b", "my net")
    for parcel in (network, seed, PLAIN):
        remember(store, parcel)
    assert missed(store) == [PLAIN, seed, network]
    mark_sent(store, PLAIN, "run1")
    assert missed(store) == [seed, network]
    assert (identifier(store, seed), identifier(store, PLAIN)) == (None, "run1")


def test_colours_follow_names_in_the_order_of_their_first_mention(store):
    named = [replace(PLAIN, key=key, label=label) for key, label in [("1", ""), ("2", "plain depth=8"), ("3", "")]]
    for run in named:
        remember(store, run)
    assert [look_of(store, run) for run in named] == [("plain", 0), ("plain depth=8", 1), ("plain", 0)]
    remember(store, replace(PLAIN, key="2"))  # as `vgt track sync` does, which knows no name
    assert look_of(store, named[1]) == ("plain depth=8", 1)


def test_newest_experiment_is_that_of_the_last_run(store):
    assert (newest_experiment(store), known_experiments(store)) == (None, [])
    for number, name in enumerate(["b/c", "a"]):
        remember(store, Run(name, "plain", "k"))
        (marker,) = (path for path in store.glob("tracking/*/*.json") if name[0] == path.parent.name[0])
        os.utime(marker, (number, number))
    assert (newest_experiment(store), known_experiments(store)) == ("a", ["a", "b/c"])


def test_credentials_are_neither_shown_nor_written(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://alice:secret@team.example/x")
    assert find_store(store).place == "https://team.example/x"
    mark_sent(store, PLAIN, "run1")
    assert all("secret" not in path.read_text() for path in store.rglob("*.json"))


@pytest.mark.parametrize(
    ("uri", "in_results", "database"),
    [
        ("", True, "mlflow.db"),
        ("sqlite:///other.db", True, "other.db"),
        ("postgresql+psycopg2://db/mlflow", True, None),
        ("http://team.example", False, None),
        ("databricks", False, None),
    ],
)
def test_artifacts_go_to_the_results_folder_unless_a_server_decides(results, monkeypatch, uri, in_results, database):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = find_store(results)
    assert store.artifacts == (results / "mlartifacts" if in_results else None)
    assert (store.database.name if store.database else None) == database


def test_second_sender_waits_for_the_first(store, monkeypatch):
    order = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with sending(store):
            inside.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    monkeypatch.setattr(outbox, "LOCK_SECONDS", 0.0)
    with pytest.raises(TimeoutError, match="another process"), sending(store):
        order.append("never")
    monkeypatch.setattr(outbox, "LOCK_SECONDS", 10.0)
    leave.set()
    with sending(store):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_report_is_its_pages_and_nothing_that_is_no_file(results):
    folder = results / "report"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("it")
    found = find_report(results)
    assert found is not None
    os.mkfifo(folder / "pipe.html")
    (folder / "nowhere.html").symlink_to("nowhere")
    assert find_report(results) == found
    (folder / "index.html").write_text("another")
    assert find_report(results) != found
