"""What lies in a results folder is told as it is, and only what nobody needs is removed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vgtemplate import records
from vgtemplate.config.key import code_of, hash_of
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import key_of
from vgtemplate.jobs.locks import hold
from vgtemplate.jobs.schema import series_of_arm
from vgtemplate.jobs.stock import Entry, examine, find_waste, remove
from vgtemplate.records import SERIES, Record, write_record


def make(depth: int = 2, **changes: object) -> Record:
    """Return a record under its own key."""
    configuration = ArmConfig.model_validate(
        {"model": {"depth": depth}, "data": {"dataset": "digits"}},
    ).model_dump(mode="json")
    series = {name: np.zeros([2] * len(SERIES[name].axes)) for name in series_of_arm(configuration)}
    data = {"name": "digits", "fingerprint": "f"}
    record = Record("", "arm", configuration, (0, 1), data, {}, 1.0, series, code=code_of(configuration))
    record = replace(record, **changes)  # type: ignore[arg-type]
    return replace(record, key=key_of(record))


def only(results: Path) -> Entry:
    (entry,) = examine(results)
    return entry


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".locks"}


def prune(results: Path, stale: bool = False) -> list[bool]:
    return [remove(results, waste) for waste in find_waste(results, stale)]


def test_intact_record_is_told_with_its_size(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    entry = only(tmp_path)
    assert (entry.key, entry.state, entry.why) == (folder.name, "intact", "")
    assert entry.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert find_waste(tmp_path) == []


def test_folder_that_is_not_there_or_holds_other_things_has_no_records(tmp_path: Path) -> None:
    assert list(examine(tmp_path / "absent")) == []
    for name in ("report", "mlruns", ".checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "mlflow.db").touch()
    assert list(examine(tmp_path)) == []
    assert find_waste(tmp_path, stale=True) == []


def altered(folder: Path) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_seconds": 2.0}))


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def half(folder: Path) -> None:
    (folder / "series.npz").unlink()


def flipped(folder: Path) -> None:
    content = bytearray((folder / "series.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "series.npz").write_bytes(content)


def pipe(folder: Path) -> None:
    (folder / "record.json").unlink()
    os.mkfifo(folder / "record.json")


def file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (altered, "it was altered after it was written: a checksum is wrong"),
        (flipped, "it was altered after it was written: a checksum is wrong"),
        (emptied, "it lacks record.json"),
        (half, "it lacks series.npz"),
        (pipe, "record.json: it is no file"),
        (file, "it lacks record.json"),
    ],
)
def test_damaged_record_is_told_and_removed(damage: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    kept = write_record(tmp_path, make(depth=3))
    damage(folder)
    entry = next(entry for entry in examine(tmp_path) if entry.key == folder.name)
    assert (entry.state, entry.why, entry.record) == ("damaged", why, None)
    assert prune(tmp_path) == [True]
    assert contents(tmp_path) == {kept.name}


def test_record_without_a_series_that_its_training_writes_is_damaged(tmp_path: Path) -> None:
    made = make()
    write_record(tmp_path, replace(made, series={name: made.series[name] for name in made.series if name != "travel"}))
    assert (only(tmp_path).state, only(tmp_path).why) == ("damaged", "it lacks the series travel")
    assert prune(tmp_path) == [True]


@pytest.mark.parametrize(
    "change",
    [
        {"configuration": {"model": {"depth": 5}}},
        {"configuration": {"model": "deep"}},
        {"configuration": {"model": {"activation": []}}},
        {"seeds": (4, 5)},
        {"dataset": {"name": "digits", "fingerprint": "g"}},
    ],
)
def test_record_of_another_arm_is_foreign_and_removed(change: dict[str, object], tmp_path: Path) -> None:
    mine = make()
    folder = write_record(tmp_path, replace(mine, **change))  # type: ignore[arg-type]
    entry = only(tmp_path)
    assert entry.state == "foreign"
    assert entry.why.startswith("what it says of itself has the key ") or "settings" in entry.why
    assert prune(tmp_path) == [True]
    assert not folder.exists()


def test_record_of_another_source_is_stale_and_removed_only_if_asked(tmp_path: Path) -> None:
    made = make()
    write_record(tmp_path, make(code={**made.code, "source": "0" * 64}))
    assert (only(tmp_path).state, only(tmp_path).why) == ("stale", "made by another version of the source")
    assert find_waste(tmp_path) == []
    assert prune(tmp_path, stale=True) == [True]
    assert contents(tmp_path) == set()


def test_record_that_does_not_say_its_source_is_stale(tmp_path: Path) -> None:
    write_record(tmp_path, replace(make(), code={}))
    assert only(tmp_path).state == "stale"
    assert find_waste(tmp_path) == []


def test_exact_check_is_never_stale(tmp_path: Path) -> None:
    key = hash_of({"check": "one", "source": "of the laboratory"})
    series, labels = {"quantities": np.array([[1.0]])}, {"quantity": ["q"]}
    check = Record(key, "one", {"check": "one"}, (), {}, {}, 0.1, series, labels, code={"source": "of the laboratory"})
    write_record(tmp_path, check)
    assert only(tmp_path).state == "intact"
    assert find_waste(tmp_path, stale=True) == []


def test_record_that_cannot_be_read_just_now_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path, make())

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(records, "read_part", refuse)
    assert (only(tmp_path).state, only(tmp_path).why) == ("unreadable", "Too many open files")
    assert find_waste(tmp_path, stale=True) == []


def test_what_was_left_by_killed_processes_is_removed(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    (tmp_path / f".writing-{folder.name}-ab_1").mkdir()
    (tmp_path / f".replaced-{folder.name}-ab_2").mkdir()
    (tmp_path / ".checkpoints" / folder.name).mkdir(parents=True)
    (tmp_path / ".checkpoints" / "half" / "seeds_0_4").mkdir(parents=True)
    aside = tmp_path / ".checkpoints" / "half" / "seeds_0_4" / "last.unusable"
    aside.write_bytes(b"damaged")
    in_use = aside.with_suffix(".ckpt")
    in_use.write_bytes(b"a checkpoint of what has no record yet")
    assert all(prune(tmp_path))
    assert contents(tmp_path) == {folder.name, ".checkpoints"}
    assert list((tmp_path / ".checkpoints").rglob("*.*")) == [in_use]


def test_record_that_waits_to_be_put_back_stays(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    folder.rename(tmp_path / f".replaced-{folder.name}-ab")
    assert find_waste(tmp_path, stale=True) == []


def test_checkpoint_of_a_damaged_record_stays(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    altered(folder)
    (tmp_path / ".checkpoints" / folder.name).mkdir(parents=True)
    assert prune(tmp_path) == [True]
    assert contents(tmp_path / ".checkpoints") == {folder.name}


def test_temporary_files_of_reports_are_removed_when_they_are_old(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    young, old = tmp_path / "report/.writing-young", tmp_path / "report/.writing-old"
    for path in (young, old, tmp_path / "report/index.html"):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    assert prune(tmp_path) == [True]
    assert contents(tmp_path / "report") == {young.name, "index.html"}


def test_what_is_being_trained_stays(tmp_path: Path) -> None:
    folder = write_record(tmp_path, make())
    altered(folder)
    with hold(tmp_path, folder.name):
        (waste,) = find_waste(tmp_path)
        assert waste.is_held
        assert not remove(tmp_path, waste)
    assert folder.exists()
    (free,) = find_waste(tmp_path)
    assert not free.is_held
    # Trained anew before it was removed.
    write_record(tmp_path, make())
    assert not remove(tmp_path, free)
    assert only(tmp_path).state == "intact"


def test_what_a_link_leads_to_is_somebody_elses(tmp_path: Path) -> None:
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    results.mkdir()
    folder = write_record(results, make())
    altered(folder)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert prune(results) == [True]
    assert contents(results) == set()
    assert contents(elsewhere) == {"record.json", "series.npz"}
