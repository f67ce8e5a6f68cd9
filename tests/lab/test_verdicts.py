"""Verdicts that are kept in the repository: made of records, read back, compared, tabulated."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile import NO_FILES, make_no_file
from vgtemplate.config.errors import UserError
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.environments import tidy
from vgtemplate.lab.gather import describe_part, gather, slug
from vgtemplate.lab.judge import VERDICTS, PartVerdict, judge_effects, judge_records
from vgtemplate.lab.plan import Plan
from vgtemplate.lab.readme_table import fill, write_table
from vgtemplate.lab.result import Result
from vgtemplate.lab.verdicts import (
    Verdicts,
    committed,
    differs,
    disagreements,
    others,
    read_verdicts,
    verdicts_dir,
    write_verdicts,
)
from vgtemplate.records import Record, write_record

PROCESSOR = {"model": "Intel(R) Xeon(R) Platinum 8488C", "features": ["avx2"], "capability": "AVX512", "cores": 2}
ENVIRONMENT = {
    "versions": {"python": "3.11.9", "torch": "2.15"},
    "commit": "c0ffee" * 5,
    "dirty": False,
    "device": "cpu",
    "processor": PROCESSOR | {"blas": "mkl"},
}


def make_record(key: str, seeds: range = range(10), **environment: Any) -> Record:
    """A record of a network whose gradient falls by half a decade per layer."""
    fall = -0.5 * np.arange(4)[::-1] + 0.01 * np.arange(len(seeds))[:, None]
    configuration = {"model": {"kind": "mlp", "depth": 4, "activation": "sigmoid"}, "data": {"factory": None}}
    series = {"gradient_rms": 10.0 ** fall[:, None, :], "probe_steps": np.array([0])}
    environment = ENVIRONMENT | environment
    return Record(key, key, configuration, tuple(seeds), {"name": "digits"}, environment, 2.0, series)


def make_claim(name: str, arm: str, threshold: str = "< -0.3") -> ClaimConfig:
    part = {"metric": "gradient_slope", "arms": [arm], "label": f"slope | of {arm}", "threshold": threshold}
    content = {"id": name, "articles": [], "statement": "It vanishes.", "kind": "initial", "literature": "True."}
    return ClaimConfig.model_validate(content | {"arms": {arm: {}}, "parts": [part]})


def judge(claim: ClaimConfig, record: Record) -> Result:
    (arm,) = claim.arms
    verdict, keys = judge_records(claim, {arm: record}), {arm: (record.key,)}
    return Result(claim, verdict, keys, "digits", record.seeds, "quick", 2.0, {})


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Verdicts]:
    """The verdicts of claims on records in a results folder, by a claim's name its record."""

    def make(thresholds: dict[str, str], **records: Record) -> Verdicts:
        claims = {name: make_claim(name, name, thresholds.get(name, "< -0.3")) for name in records}
        for record in records.values():
            write_record(tmp_path, record)
        judged = [judge(claims[name], record) for name, record in records.items()]
        return gather(Plan(claims, {}, {}, "digits", tuple(range(10))), judged, tmp_path)

    return make


def test_file_has_what_was_judged_and_what_computed_it(run: Callable[..., Verdicts]) -> None:
    found = run({"b": "> 0"}, a=make_record("one"), b=make_record("two"), c=make_record("one"))
    assert {name: entry.verdict for name, entry in found.claims.items()} == {
        "a": "confirmed",
        "b": "refuted",
        "c": "confirmed",
    }
    assert found.networks == 20  # the record that two claims share counts once
    assert found.seconds == 4.0
    assert (found.versions, found.commits) == (ENVIRONMENT["versions"], ["c0ffeec0ffee"])
    assert found.file_name == "digits-intel-xeon-platinum-8488c-avx512.json"
    assert found.machine.title == "Intel Xeon Platinum 8488C, AVX512"
    (part,) = found.claims["a"].parts
    assert (part.cleared, part.count, part.seeds) == (10, 10, "seeds 0 to 9")
    assert found.claims["b"].counts == ("0 of 10",)


def test_open_and_provisional_claims_are_left_out(run: Callable[..., Verdicts]) -> None:
    record = make_record("half")
    steps = np.arange(4)[::-1] * np.where(np.arange(10) < 5, -0.5, 0.5)[:, None]
    half = replace(record, series=dict(record.series) | {"gradient_rms": 10.0 ** steps[:, None, :]})
    assert set(run({}, a=make_record("one"), b=half, c=make_record("few", range(3))).claims) == {"a"}
    with pytest.raises(UserError, match="make decide"):
        run({}, b=half)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor": PROCESSOR | {"model": "AMD EPYC", "blas": "mkl"}}, "2 machines"),
        ({"processor": PROCESSOR | {"capability": "AVX2", "blas": "mkl"}}, "2 machines"),
        ({"device": "cuda", "device_name": "NVIDIA X"}, "nvidia-x"),
        ({"processor": None}, "does not say on which processor"),
    ],
)
def test_records_of_several_machines_are_refused(
    run: Callable[..., Verdicts], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        run({}, a=make_record("one"), b=make_record("two", **change))


def test_spread_is_of_values_that_occur_and_without_those_that_are_none() -> None:
    effects = [float(number) for number in range(98)] + [math.inf, math.nan]
    judged = PartVerdict("a", "> 50", tuple(effects), 48, "depends on the seed", seeds=tuple(range(100)))
    part = describe_part(judged)
    assert (part.lowest, part.p05, part.p25, part.median) == (0, 4, 24, 49)
    assert (part.p75, part.p95, part.highest, part.without_value) == (74, 94, "Infinity", 1)
    nothing = describe_part(judge_effects([math.nan] * 10, "> 50", "a", seeds=range(10)))
    assert (nothing.median, nothing.without_value, nothing.cleared) == (None, 10, 0)


def test_file_is_read_as_it_was_written_and_the_same_run_writes_the_same(
    run: Callable[..., Verdicts], tmp_path: Path
) -> None:
    found = run({}, b=make_record("one"), a=make_record("two"))
    path = write_verdicts(tmp_path / "out", found)
    text = path.read_text()
    assert read_verdicts(path) == found
    assert list(json.loads(text)) == sorted(json.loads(text))
    write_verdicts(tmp_path / "out", run({}, a=make_record("two"), b=make_record("one")))
    assert path.read_text() == text


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", b"\xff"])
def test_damaged_file_is_one_line_that_names_it(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=r"x\.json.*vgt verdicts save"):
        read_verdicts(path)
    with pytest.raises(UserError, match="no such file"):
        read_verdicts(tmp_path / "none.json")


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("read", [read_verdicts, fill])
def test_what_is_no_file_is_one_line_that_names_it(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match=r"/x\.json: cannot be read: "):
        read(make_no_file(tmp_path, kind, "x.json"))


def test_folder_that_refuses_keeps_what_it_had(run: Callable[..., Verdicts], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write_verdicts(tmp_path / "out", run({}, a=make_record("one")))
    assert (tmp_path / "out").read_text() == "a file"


def test_words_contradict_one_another_only_where_both_are_decided() -> None:
    decided = set(VERDICTS) - {"open"}
    for one in (*VERDICTS, "not run", "failed"):
        for other in (*VERDICTS, "not run", "failed"):
            assert differs(one, other) == (one != other and one in decided and other in decided)


def test_others_are_those_of_the_data_set_the_newest_first(
    run: Callable[..., Verdicts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = run({}, a=make_record("one"), b=make_record("two"))
    folder = tmp_path / "docs" / "verdicts"
    monkeypatch.chdir(tmp_path)
    assert verdicts_dir().is_absolute()  # no folder here: what came with the package
    machine = here.machine.model_copy(update={"name": "z", "model": "Z", "capability": ""})
    refuted = {name: entry.model_copy(update={"verdict": "refuted"}) for name, entry in here.claims.items()}
    there = here.model_copy(update={"date": "2999-01-01", "machine": machine, "claims": {"a": refuted["a"]}})
    for each in (here, there, there.model_copy(update={"dataset": "mnist"})):
        write_verdicts(folder, each)
    assert [(each.machine, each.verdict, each.counts) for each in others("a", "digits")] == [
        ("Z", "refuted", ("10 of 10",)),
        ("Intel Xeon Platinum 8488C, AVX512", "confirmed", ("10 of 10",)),
    ]
    assert len(others("b", "digits")) == 1
    assert others("nowhere", "digits") == []
    assert len(others("a", "-")) == 3
    assert disagreements(here, committed("digits")) == {"a": [there]}


@pytest.mark.parametrize(
    ("model", "title", "file"),
    [
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "Intel Xeon", "intel-xeon"),
        ("AMD EPYC 7B13 64-Core Processor", "AMD EPYC 7B13", "amd-epyc-7b13"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("../../x y", "../../x y", "x-y"),
        ("", "", "unknown"),
    ],
)
def test_names_of_machines_are_short_and_those_of_files_safe(model: str, title: str, file: str) -> None:
    assert (tidy(model), slug(model)) == (title, file)


def test_table_has_a_row_per_claim_and_its_text_is_filled_twice_alike(
    run: Callable[..., Verdicts], tmp_path: Path
) -> None:
    found = run({"b": "> 0"}, a=make_record("one"), b=make_record("two"))
    table = write_table(found)
    assert "of 2 claims 1 confirmed, 1 refuted; 20 networks" in table
    assert "| `a` | confirmed | slope \\| of a: -0.5 [-0.5, -0.5] | < -0.3 | 10 of 10 | 0 to 9 |" in table
    path = write_verdicts(tmp_path / "docs" / "verdicts", found)
    text = tmp_path / "README.md"
    start = f"# A\n\n<!-- verdicts: {path.relative_to(tmp_path)} -->\n"
    text.write_text(f"{start}old\n<!-- end of verdicts -->\nmore \\1\n")
    assert fill(text)
    assert text.read_text() == f"{start}\n{table}\n<!-- end of verdicts -->\nmore \\1\n"
    assert not fill(text)


def test_text_that_cannot_be_filled_stays(tmp_path: Path) -> None:
    text = tmp_path / "README.md"
    for content, words in (
        ("no markers", "to be filled"),
        ("<!-- verdicts: a -->\n<!-- end of verdicts -->", "a: no such file"),
    ):
        text.write_text(content)
        with pytest.raises(UserError, match=words):
            fill(text)
        assert text.read_text() == content
