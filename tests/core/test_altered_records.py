"""What is altered, cut off, or says what no record says, is never taken for a record."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.records import FEW, assert_equal, make
from vgtemplate.prediction import compare_slopes, why_not_compared
from vgtemplate.records import (
    read_all,
    read_record,
    write_record,
)


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
