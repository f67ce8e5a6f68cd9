"""A record is on disk whole or not at all, and comes back as it was."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.core.records import FEW, assert_equal, make
from vgtemplate import records
from vgtemplate.config.errors import UserError
from vgtemplate.records import (
    make_results_folder,
    read_record,
    record_path,
    write_record,
)


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = make()
    assert write_record(tmp_path, record) == record_path(tmp_path, "k") == tmp_path / "k"
    assert contents(tmp_path) == {"k"}
    assert contents(tmp_path / "k") == {"record.json", "series.npz"}
    assert_equal(read_record(tmp_path, "k"), record)


@FEW
@given(st.data(), st.lists(st.integers(0, 2**63), max_size=3, unique=True), st.floats(0, 1e9))
def test_any_numbers_come_back_bit_for_bit(
    tmp_path: Path, data: st.DataObject, seeds: list[int], seconds: float
) -> None:
    several, number = st.integers(0, 3), len(seeds)
    profile = data.draw(hnp.arrays(np.float64, st.tuples(st.just(number), several, several)))
    losses = data.draw(hnp.arrays(np.float32, st.tuples(st.just(number), several)))
    made = make(gradient_rms=profile, train_loss=losses, diverged_at=np.full(number, -1))
    record = replace(made, seeds=tuple(seeds), wall_seconds=seconds)
    write_record(tmp_path, record)
    assert_equal(read_record(tmp_path, "k"), record)


def test_record_names_the_axes_and_the_unit_of_every_series(tmp_path: Path) -> None:
    content = json.loads((write_record(tmp_path, make()) / "record.json").read_text())
    assert content["series"]["gradient_rms"] == {
        "axes": ["replica", "probe_step", "layer"],
        "unit": "loss per unit of pre-activation",
        "shape": [2, 2, 2],
    }
    assert content["series"]["train_loss"]["unit"].startswith("nats")
    assert set(content["series"]) == set(make().series)


def test_record_is_readable_by_others_than_its_writer(tmp_path: Path) -> None:
    assert write_record(tmp_path, make()).stat().st_mode & 0o777 == 0o755


def test_later_record_of_a_key_replaces_the_earlier(tmp_path: Path) -> None:
    write_record(tmp_path, make())
    later = replace(make(), wall_seconds=9.0)
    write_record(tmp_path, later)
    assert_equal(read_record(tmp_path, "k"), later)
    assert contents(tmp_path) == {"k"}


def test_absent_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path, "k") is None
    assert read_record(tmp_path / "absent", "k") is None


class Crash(BaseException):
    """The process dies here."""


def raise_crash(*_: object, **__: object) -> None:
    raise Crash


def raise_full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["fsync", "rename", "mkdtemp", "chmod"])
@pytest.mark.parametrize("earlier", [False, True])
def test_crash_leaves_no_record_and_no_temporary_folder(
    where: str, earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if earlier:
        write_record(tmp_path, make())
    break_at(where, raise_crash, monkeypatch)
    with pytest.raises(Crash):
        write_record(tmp_path, replace(make(), wall_seconds=9.0))
    monkeypatch.undo()
    left = read_record(tmp_path, "k")
    if earlier:
        assert_equal(left, make())
    else:
        assert left is None
    assert contents(tmp_path) <= {"k"}


def test_record_that_is_replaced_is_there_until_the_new_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def crash(self: Path, target: Path) -> Path:
        if ".writing-" in self.name:
            raise Crash
        return rename(self, target)

    write_record(tmp_path, make())
    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(Crash):
        write_record(tmp_path, replace(make(), wall_seconds=9.0))
    monkeypatch.undo()
    assert_equal(read_record(tmp_path, "k"), make())
    assert contents(tmp_path) == {"k"}


def test_record_that_cannot_take_its_place_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"the record cannot be written \(Directory not empty\)"):
        write_record(tmp_path, make())


@pytest.mark.parametrize("where", ["fsync", "rename", "mkdtemp", "chmod"])
def test_full_disk_is_told_in_one_line_and_leaves_nothing(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_at(where, raise_full, monkeypatch)
    with pytest.raises(UserError, match=r"the record cannot be written \(No space left on device\)"):
        write_record(tmp_path, make())
    monkeypatch.undo()
    assert contents(tmp_path) == set()


def break_at(where: str, action: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    owner: Any = {"fsync": os, "mkdtemp": records.tempfile, "rename": Path, "chmod": Path}[where]
    monkeypatch.setattr(owner, where, action)


def test_files_are_flushed_before_the_record_gets_its_name_and_the_name_is_flushed_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[bool, int | str]] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(status.st_mode) else status.st_size
        flushed.append(((tmp_path / "k").exists(), what))

    monkeypatch.setattr(os, "fsync", fsync)
    folder = write_record(tmp_path, make())
    sizes = [(folder / name).stat().st_size for name in ("series.npz", "record.json")]
    assert flushed == [(False, sizes[0]), (False, sizes[1]), (True, "folder")]


def test_what_is_added_appears_with_the_record_or_not_at_all(tmp_path: Path) -> None:
    def add(folder: Path) -> None:
        assert read_record(tmp_path, "k") is None
        (folder / "last.pt").write_bytes(b"weights")

    def fail(folder: Path) -> None:
        add(folder)
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        write_record(tmp_path, make(), fail)
    assert not list(tmp_path.iterdir())
    assert sorted(path.name for path in write_record(tmp_path, make(), add).iterdir()) == [
        "last.pt",
        "record.json",
        "series.npz",
    ]
    assert read_record(tmp_path, "k") is not None


def test_objects_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_record(tmp_path, make(probe_steps=np.array([{}], dtype=object)))
    assert contents(tmp_path) == set()


def test_probe_returns_one_step_in_double_precision() -> None:
    record = make(signal_rms=np.arange(12, dtype=np.float32).reshape(2, 3, 2))
    assert record.probe("signal_rms").tolist() == [[0, 1], [6, 7]]
    assert record.probe("signal_rms", 2).tolist() == [[4, 5], [10, 11]]
    assert record.probe("signal_rms").dtype == np.float64


def test_results_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert make_results_folder(folder) == folder
    assert make_results_folder(folder) == folder
    assert contents(folder) == set()


def test_results_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        with pytest.raises(UserError, match=r"cannot be written .*; set VGT_RESULTS_DIR to another"):
            make_results_folder(folder)
    with pytest.raises(UserError, match="the record cannot be written"):
        write_record(tmp_path / "absent", make())

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root, under which tests may run, is refused nothing by the file system itself.
    monkeypatch.setattr(records.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)"):
        make_results_folder(tmp_path)


def test_writers_of_one_key_at_one_time_leave_one_whole_record(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def write() -> None:
        try:
            start.wait()
            for _ in range(10):
                write_record(tmp_path, make())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_equal(read_record(tmp_path, "k"), make())
    assert contents(tmp_path) == {"k"}
