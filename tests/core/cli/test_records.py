"""`vgt records`: what it says of each record, its exit codes, and that it asks before it removes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vgtemplate.cli.commands.records import records
from vgtemplate.config.errors import UserError
from vgtemplate.config.key import code_of
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import key_of
from vgtemplate.jobs.locks import hold
from vgtemplate.jobs.schema import series_of_arm
from vgtemplate.records import SERIES, Record, open_record, write_record


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder that the commands use."""
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    return tmp_path / "results"


def write(results: Path, depth: int = 2, name: str = "plain", source: str | None = None) -> Path:
    results.mkdir(exist_ok=True)
    arm = {"model": {"depth": depth}, "data": {"dataset": "digits"}}
    configuration = ArmConfig.model_validate(arm).model_dump(mode="json")
    code = code_of(configuration) | ({} if source is None else {"source": source})
    series = {name: np.zeros([2] * len(SERIES[name].axes)) for name in series_of_arm(configuration)}
    data = {"name": "digits", "fingerprint": "f"}
    record = Record("", name, configuration, (0, 1), data, {"device": "cpu"}, 1.0, series, code=code)
    return write_record(results, replace(record, key=key_of(record)))


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(records, arguments, input=answer)


def test_folder_without_records_is_said(results: Path) -> None:
    assert run("list").output == f"no records in {results}/\n"
    assert run("list", "--json").output == "[]\n"
    assert run("verify").output == f"0 records in {results}/\n"
    assert run("prune").output == f"nothing to remove in {results}/\n"
    assert not results.exists()


def test_list_shows_what_each_record_is(results: Path) -> None:
    intact, stale = write(results), write(results, depth=3, name="[b]deep[/b]\x1b[2J", source="0" * 64)
    (write(results, depth=4) / "series.npz").unlink()
    lines = run("list").output.splitlines()
    assert lines[0].startswith("3 records: ")
    assert {"1 intact", "1 stale", "1 damaged"} == set(lines[0].split(": ")[1].split(" in ")[0].split(", "))
    rows = {line.split()[0]: line for line in lines[3:]}
    assert rows[intact.name].split()[1:7] == ["plain", "digits", "0", "to", "1", "cpu"]
    assert rows[intact.name].split()[-1] == "intact"
    assert "[b]deep[/b]\\x1b[2J" in rows[stale.name]
    assert any("damaged: it lacks" in line for line in lines)


def test_list_as_json_is_plain_data(results: Path) -> None:
    folder = write(results)
    (found,) = json.loads(run("list", "--json").output)
    assert found.pop("date").endswith("+00:00")
    assert found == {
        "key": folder.name,
        "name": "plain",
        "dataset": "digits",
        "seeds": [0, 1],
        "device": "cpu",
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "state": "intact",
        "why": "",
    }


def test_verify_names_each_damaged_and_foreign_record_and_exits_with_1(results: Path) -> None:
    intact, foreign, damaged = (write(results, depth) for depth in (2, 3, 4))
    write(results, 5, source="0" * 64)
    done = run("verify")
    assert (done.exit_code, done.output) == (0, f"4 records: 3 intact, 1 stale in {results}/\n")
    (damaged / "series.npz").write_bytes((intact / "series.npz").read_bytes()[:-1])
    write_record(results, replace(open_record(results, intact.name), key=foreign.name))
    done = run("verify")
    assert done.exit_code == 1
    assert done.output.splitlines()[:-1] == sorted(
        [
            f"{results}/{foreign.name}: foreign: what it says of itself has the key {intact.name}",
            f"{results}/{damaged.name}: damaged: it was altered after it was written: a checksum is wrong",
        ]
    )


def test_prune_says_what_it_would_remove_and_asks(results: Path) -> None:
    kept, damaged = write(results), write(results, depth=3)
    (damaged / "series.npz").unlink()
    size = (damaged / "record.json").stat().st_size
    said = run("prune", answer="n\n")
    assert said.exit_code == 0
    assert f"{damaged}: damaged record: it lacks series.npz, {size / 1e3:.1f} kB\n" in said.output
    assert f"to remove: 1, {size / 1e3:.1f} kB\n" in said.output
    assert said.output.endswith("nothing was removed\n")
    assert damaged.exists()
    assert f"removed: 1, {size / 1e3:.1f} kB\n" in run("prune", answer="y\n").output
    assert not damaged.exists()
    assert kept.exists()


def test_prune_that_nobody_answers_removes_nothing(results: Path) -> None:
    damaged = write(results)
    (damaged / "series.npz").unlink()
    done = run("prune", answer="")
    assert isinstance(done.exception, UserError)
    assert "--yes" in str(done.exception)
    assert damaged.exists()
    run("prune", "--yes")
    assert not damaged.exists()


def test_prune_leaves_stale_records_unless_they_are_asked_for(results: Path) -> None:
    stale = write(results, source="0" * 64)
    assert "nothing to remove" in run("prune", "--yes").output
    assert stale.exists()
    assert "stale record: made by another version of the source" in run("prune", "--stale", "--yes").output
    assert not stale.exists()


def test_prune_leaves_what_is_being_trained(results: Path) -> None:
    damaged = write(results)
    (damaged / "series.npz").unlink()
    with hold(results, damaged.name):
        said = run("prune", "--yes").output
    assert "is being trained: stays" in said
    assert damaged.exists()


def test_prune_removes_locks_that_nobody_holds(results: Path) -> None:
    kept = write(results)
    for key in ("a", "b"):
        with hold(results, key):
            pass
    with hold(results, "c"):
        assert f"{results}/.locks: locks that nobody holds: 2, 0.0 kB\n" in run("prune", answer="n\n").output
        assert sorted(path.stem for path in (results / ".locks").iterdir()) == ["a", "b", "c"]
        assert "removed: 1, 0.0 kB\n" in run("prune", "--yes").output
        assert [path.stem for path in (results / ".locks").iterdir()] == ["c"]
    assert kept.exists()
