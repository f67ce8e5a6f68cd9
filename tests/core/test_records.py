"""A record is on disk whole or not at all, comes back as it was, and is never taken for what it is not."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vgtemplate import records
from vgtemplate.config.errors import UserError
from vgtemplate.prediction import compare_slopes, why_not_compared
from vgtemplate.records import (
    Record,
    make_results_folder,
    read_all,
    read_record,
    record_path,
    write_record,
)

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(key: str = "k", **series: Any) -> Record:
    measured: dict[str, Any] = {
        "gradient_rms": np.array([[[1.0, 1e-300], [np.nan, np.inf]], [[0.1, 0.2], [0.3, 0.4]]]),
        "probe_steps": np.array([0, 7]),
        "train_loss": np.array([[2.5, 1 / 3], [-0.0, np.inf]], dtype=np.float32),
        "diverged_at": np.array([-1, 1]),
    }
    return Record(
        key=key,
        name="plain",
        configuration={"model": {"depth": 2, "width": [64, 128]}, "lr": 0.1 + 0.2, "path": None, "é": "ü"},
        seeds=(3, 1),
        dataset={"name": "digits", "fingerprint": "f" * 64},
        environment={"commit": None, "dirty": True, "threads": 2},
        wall_seconds=1.25,
        series=measured | series,
        labels={"layer": ["layer_1", "layer_2"]},
    )


def assert_equal(ours: Record | None, theirs: Record) -> None:
    assert ours is not None
    for name in ("key", "name", "configuration", "seeds", "dataset", "environment", "wall_seconds", "labels"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.series) == set(theirs.series)
    for name, array in theirs.series.items():
        assert ours.series[name].dtype == array.dtype
        assert ours.series[name].tobytes() == array.tobytes()


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


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a record that tests alter; each restores what it changed."""
    folder = tmp_path_factory.mktemp("written")
    write_record(folder, make())
    return folder


@pytest.mark.parametrize("name", ["record.json", "series.npz"])
@settings(FEW, max_examples=150)
@given(st.data())
def test_altered_byte_makes_the_record_none_or_changes_nothing(written: Path, name: str, data: st.DataObject) -> None:
    path = written / "k" / name
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    mask = data.draw(st.integers(1, 255))
    path.write_bytes(content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :])
    try:
        found = read_record(written, "k")
    finally:
        path.write_bytes(content)
    if found is not None:
        assert_equal(found, make())


@pytest.mark.parametrize("name", ["record.json", "series.npz"])
@FEW
@given(st.data())
def test_truncated_file_makes_the_record_none(written: Path, name: str, data: st.DataObject) -> None:
    path = written / "k" / name
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        assert read_record(written, "k") is None
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["record.json", "series.npz"])
def test_missing_file_makes_the_record_none(name: str, tmp_path: Path) -> None:
    (write_record(tmp_path, make()) / name).unlink()
    assert read_record(tmp_path, "k") is None


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '"text"', "{}", '{"key": "k"}', "{\xff", "[" * 200_000])
def test_metadata_that_is_none_makes_the_record_none(text: str, tmp_path: Path) -> None:
    (write_record(tmp_path, make()) / "record.json").write_bytes(text.encode("latin-1"))
    assert read_record(tmp_path, "k") is None


def test_record_under_another_key_is_none(tmp_path: Path) -> None:
    write_record(tmp_path, make("k")).rename(tmp_path / "other")
    assert read_record(tmp_path, "other") is None


def with_metadata(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a record say something else, with a checksum that fits."""
    metadata = json.loads((folder / "record.json").read_text())
    metadata.pop("metadata_sha256")
    change(metadata)
    metadata["metadata_sha256"] = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
    (folder / "record.json").write_text(json.dumps(metadata))


def with_series(folder: Path, content: bytes, **shapes: list[int]) -> None:
    """Put other series into a record, with checksums that fit, and declare them."""
    (folder / "series.npz").write_bytes(content)
    declared = {name: {"shape": shape} for name, shape in shapes.items()}
    digest = hashlib.sha256(content).hexdigest()
    with_metadata(folder, lambda metadata: metadata.update(series_sha256=digest, series=declared))


def test_record_of_a_version_before_there_was_a_hash_of_the_weights_is_read(tmp_path: Path) -> None:
    with_metadata(write_record(tmp_path, make()), lambda metadata: metadata.pop("weights_sha256"))
    found = read_record(tmp_path, "k")
    assert_equal(found, make())
    assert found is not None
    assert found.weights_sha256 == ""


@pytest.mark.parametrize("name", ["name", "configuration", "seeds", "dataset", "environment", "wall_seconds", "labels"])
def test_record_of_a_version_that_said_less_is_none_rather_than_misread(name: str, tmp_path: Path) -> None:
    with_metadata(write_record(tmp_path, make()), lambda metadata: metadata.pop(name))
    assert read_record(tmp_path, "k") is None
    assert list(read_all(tmp_path)) == []


@pytest.mark.parametrize(
    "settings", [{"model": {"depth": 2, "cells": 3}}, {"model": {"kind": "rnn"}}, {"network": {"depth": 2}}]
)
def test_record_of_settings_that_this_version_does_not_know_is_said_to_be_one(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    old = replace(make(), configuration=settings, dataset={"input_shape": [1, 8, 8]})
    write_record(tmp_path, old)
    (found,) = read_all(tmp_path)
    assert_equal(found, old)
    assert compare_slopes(found) is None
    assert why_not_compared(found) == "recorded with other settings than this version knows"


def archive(**series: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **series)
    return buffer.getvalue()


def test_pickle_among_the_series_is_never_opened(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    with_series(folder, archive(probe_steps=np.array([0, 7])), probe_steps=[2])
    assert read_record(tmp_path, "k") is not None
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    with_series(folder, archive(probe_steps=np.array([Trap()], dtype=object)), probe_steps=[1])
    assert read_record(tmp_path, "k") is None
    assert not trap.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"name": 7},
        {"configuration": []},
        {"seeds": [3, 3]},
        {"seeds": [3, "1"]},
        {"seeds": [3, 1.0]},
        {"dataset": None},
        {"environment": "cpu"},
        {"wall_seconds": float("nan")},
        {"wall_seconds": "long"},
        {"labels": []},
        {"series": {}},
        {"series": None},
    ],
)
def test_record_that_says_what_none_says_is_none(change: dict[str, Any], tmp_path: Path) -> None:
    with_metadata(write_record(tmp_path, make()), lambda metadata: metadata.update(change))
    assert read_record(tmp_path, "k") is None


@pytest.mark.parametrize(
    ("series", "declared"),
    [
        ({"diverged_at": np.array([-1])}, {"diverged_at": [1]}),  # would be spread over both seeds
        ({"diverged_at": np.array([-1, 1])}, {"diverged_at": [3]}),
        ({"diverged_at": np.array(["a", "b"])}, {"diverged_at": [2]}),
        ({"diverged_at": np.array([-1, 1])}, {"diverged_at": [2], "train_loss": [2, 2]}),
        ({"diverged_at": np.array([-1, 1]), "probe_steps": np.array([0])}, {"diverged_at": [2]}),
        ({}, {"diverged_at": [2]}),
        ({"unknown": np.array([1, 2])}, {"unknown": [2]}),
    ],
)
def test_series_that_do_not_fit_make_the_record_none(
    series: dict[str, Any], declared: dict[str, list[int]], tmp_path: Path
) -> None:
    with_series(write_record(tmp_path, make()), archive(**series), **declared)
    assert read_record(tmp_path, "k") is None


def test_altered_archive_with_checksums_that_fit_ends_in_no_exception(tmp_path: Path) -> None:
    """Encrypted, patched, packed in other ways, cut off: all of it stands in a few bytes of the archive."""
    folder, content = write_record(tmp_path, make()), archive(diverged_at=np.array([-1, 1]))
    for place in range(0, len(content), 3):
        for value in (0x01, 0x0C, 0x20, 0xFF):
            with_series(folder, content[:place] + bytes([value]) + content[place + 1 :], diverged_at=[2])
            read_record(tmp_path, "k")


@pytest.mark.parametrize("content", [b"", b"PK", archive()])
def test_archive_without_series_where_some_are_declared_makes_the_record_none(content: bytes, tmp_path: Path) -> None:
    with_series(write_record(tmp_path, make()), content, diverged_at=[2])
    assert read_record(tmp_path, "k") is None


def test_series_that_would_fill_the_memory_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_record(tmp_path, make())
    assert read_record(tmp_path, "k") is not None
    monkeypatch.setattr("vgtemplate.records._MOST_BYTES", 100)
    monkeypatch.setattr("vgtemplate.records.np.load", None)
    assert read_record(tmp_path, "k") is None
    # A head that declares an array which no memory holds.
    monkeypatch.undo()
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    head += b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }".ljust(117) + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bomb:
        bomb.writestr("diverged_at.npy", head)
    with_series(folder, buffer.getvalue(), diverged_at=[9999999999999])
    assert read_record(tmp_path, "k") is None


def test_objects_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_record(tmp_path, make(probe_steps=np.array([{}], dtype=object)))
    assert contents(tmp_path) == set()


@pytest.mark.parametrize("series", [{"probe_steps": np.zeros((2, 1))}, {"test_loss": np.zeros(())}])
def test_series_with_other_axes_than_its_own_is_refused(series: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"series {next(iter(series))} has \d axes, expected"):
        make(**series)
    folder = write_record(tmp_path, make())
    with_series(folder, archive(**series))
    assert read_record(tmp_path, "k") is None


def test_series_of_no_known_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mystery"):
        make(mystery=np.zeros(2))
    folder = write_record(tmp_path, make())
    with_series(folder, archive(mystery=np.zeros(2)))
    assert read_record(tmp_path, "k") is None


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
