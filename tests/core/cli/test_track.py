import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vgtemplate.cli.commands.track import track
from vgtemplate.records import Record, make_results_folder, write_record
from vgtemplate.tracking.outbox import Description, Run, missed, remember

PLAIN = Run("sigmoid-vanishes", "plain", "k1")


def sync(*arguments: str) -> Result:
    return CliRunner().invoke(track, ["sync", *arguments])


def store_record(results: Path) -> None:
    series = {"gradient_rms": np.full((2, 1, 3), 0.1)}
    write_record(make_results_folder(results), Record("k1", "plain", {}, (0, 1), {"name": "digits"}, {}, 1.0, series))


def test_nothing_missed_is_said_without_importing_mlflow(results):
    done = sync()
    assert (done.exit_code, done.output) == (0, f"MLflow at {results}/mlflow.db has missed nothing\n")
    assert not results.exists()


@pytest.mark.slow
def test_what_was_missed_is_sent_and_listed_once(results):
    store_record(results)
    remember(results, PLAIN)
    remember(results, Description("sigmoid-vanishes", "it shrinks"))
    done = sync()
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["sigmoid-vanishes", "plain", "k1", "sent"] in rows
    assert ["sigmoid-vanishes", "(description)", "sent"] in rows
    assert missed(results) == []
    assert "missed nothing" in sync().output


@pytest.mark.slow
def test_as_json_it_says_of_each_what_the_table_does(results, empty_database):
    assert json.loads(sync("--json").stdout) == []
    store_record(results)
    shutil.copy(empty_database, results)
    remember(results, PLAIN)
    remember(results, Run("sigmoid-vanishes", "lost", "k2"))
    (results / "k2").mkdir()
    done = sync("--json")
    failed, sent = sorted(json.loads(done.stdout), key=lambda row: str(row["run"]))
    assert sent == {"experiment": "sigmoid-vanishes", "run": "plain", "record": "k1", "failure": None}
    assert (failed["run"], failed["record"]) == ("lost", "k2")
    assert "no intact record" in failed["failure"]
    assert done.exit_code == 1


@pytest.mark.slow
def test_pictures_go_along(results):
    store_record(results)
    remember(results, PLAIN)
    sync()
    pictures = {path.name for path in (results / "mlartifacts").rglob("*.png")}
    assert pictures == {"gradient_heat_map.png", "gradient_profile.png"}


@pytest.mark.slow
def test_unreachable_server_is_one_line_and_code_1(results, monkeypatch):
    store_record(results)
    remember(results, PLAIN)
    remember(results, Run("tanh-beats-sigmoid", "sigmoid", "k1"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = sync()
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert line.endswith("still to be sent: 2")
    assert missed(results) == [PLAIN, Run("tanh-beats-sigmoid", "sigmoid", "k1")]


@pytest.mark.slow
def test_run_whose_record_is_damaged_is_listed_with_code_1_and_dropped(results):
    store_record(results)
    remember(results, PLAIN)
    remember(results, Run("sigmoid-vanishes", "lost", "k2"))
    (results / "k2").mkdir()
    done = sync()
    assert done.exit_code == 1
    assert "no intact record" in " ".join(done.output.split())
    assert missed(results) == []
