"""A results folder may have any name: its database is in it, and nothing appears elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.records import make_results_folder, write_record
from vgtemplate.tracking.outbox import Run, is_sent
from vgtemplate.tracking.tracker import Tracker

NAMES = ("what?", "?mode=memory", "100%", "%20", "#1", "two words", "line\nbreak", "é 'q' \"d\" &;", "file:x?y=1#z%3F")


def send(results: Path, make_record: Any) -> None:
    """Send a run, and see that it is in the folder's database and that nothing appears beside the folder."""
    write_record(results, make_record())
    run = Run("claim", "plain", "k1")
    assert Tracker(results).send(run) is None
    assert is_sent(results, run)
    shutil.copy(results / "mlflow.db", results.parent.parent / "looked-at.db")
    with sqlite3.connect(results.parent.parent / "looked-at.db") as database:
        assert database.execute("select name, status from runs").fetchall() == [("plain", "FINISHED")]
    assert list(results.parent.iterdir()) == [results]


@pytest.mark.parametrize("name", NAMES)
def test_run_is_sent_to_the_folders_own_database(
    tmp_path: Path, make_record: Any, empty_database: Path, name: str
) -> None:
    results = make_results_folder(tmp_path / "beside" / name)
    shutil.copy(empty_database, results / "mlflow.db")
    send(results, make_record)


@pytest.mark.slow  # creates an MLflow database
def test_folder_of_any_name_is_given_its_own_database(tmp_path: Path, make_record: Any) -> None:
    send(make_results_folder(tmp_path / "beside" / "file:".join(NAMES)), make_record)


def test_folder_whose_name_is_no_text_is_told_in_a_line(tmp_path: Path, make_record: Any) -> None:
    results = make_results_folder(tmp_path / os.fsdecode(b"r\xff"))
    write_record(results, make_record())
    told = Tracker(results).send(Run("claim", "plain", "k1"))
    assert told is not None
    assert "a folder whose name is no UTF-8 can hold no database; set VGT_RESULTS_DIR to another" in told
