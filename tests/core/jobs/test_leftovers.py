"""What a process that was cut off has left is taken away, and a record that it had moved aside comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vgtemplate.jobs.leftovers import drop_leftovers
from vgtemplate.records import Record, read_record, write_record


def make(seconds: float = 1.0) -> Record:
    return Record("k", "arm", {}, (0,), {}, {}, seconds, {"test_accuracy": np.array([0.9])})


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def seconds_of(results: Path) -> float | None:
    record = read_record(results, "k")
    return None if record is None else record.wall_seconds


def test_record_that_was_replaced_by_a_killed_process_is_put_back(tmp_path: Path) -> None:
    write_record(tmp_path, make()).rename(tmp_path / ".replaced-k-1")
    (tmp_path / ".writing-k-1").mkdir()
    assert seconds_of(tmp_path) is None
    drop_leftovers(tmp_path, "k")
    assert seconds_of(tmp_path) == 1.0
    assert contents(tmp_path) == {"k"}


def test_replaced_record_goes_where_the_new_one_has_come(tmp_path: Path) -> None:
    write_record(tmp_path, make(9.0)).rename(tmp_path / ".replaced-k-2")
    write_record(tmp_path, make())
    drop_leftovers(tmp_path, "k")
    assert seconds_of(tmp_path) == 1.0
    assert contents(tmp_path) == {"k"}


def test_leftovers_of_one_key_are_dropped_and_of_no_other(tmp_path: Path) -> None:
    for name in (".writing-k-1", ".writing-k-2", ".writing-kk-1", ".writing-other-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "series.npz").write_bytes(b"half")
    drop_leftovers(tmp_path, "k")
    assert contents(tmp_path) == {".writing-kk-1", ".writing-other-1"}
