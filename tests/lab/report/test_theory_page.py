"""The page of theory beside measurement: every network once, the largest error first, the others with their reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vgtemplate.lab.report.theory_page import collect, write_theory


@pytest.fixture
def records(make_record: Any) -> dict[str, Any]:
    """Two arms that begin alike, one whose slope is half a decade off, one that was pretrained, one without probes."""
    found = {name: make_record("relu") for name in ("keeps", "twin", "falls", "pretrained", "silent")}
    for name, record in found.items():
        record.dataset["input_shape"] = [1, 8, 8]
        if name in ("keeps", "twin"):
            record.series["gradient_rms"] = np.ones((3, 1, 4))
    found["pretrained"].configuration["pretraining"] = {"kind": "rbm"}
    found["pretrained"].configuration["model"]["activation"] = "sigmoid"
    del found["silent"].series["gradient_rms"]
    return found


@pytest.fixture
def results(make_claim: Any, make_record: Any, make_result: Any) -> list[Any]:
    """Two claims with these arms, and one whose record is lost."""
    arms = {"first": ("keeps", "falls", "silent", "lost"), "second": ("twin", "pretrained")}
    judged = {"sigmoid": make_record("sigmoid")}
    return [
        make_result(make_claim(name), judged, keys={arm: arm for arm in of_claim}) for name, of_claim in arms.items()
    ]


def test_networks_are_collected_once_and_sorted_by_their_error(records: dict[str, Any], results: list[Any]) -> None:
    rows, others = collect(results, records.get)
    assert [row.names for row in rows] == [["first: falls"], ["first: keeps", "second: twin"]]
    assert rows[0].comparison.error == pytest.approx(-0.5)
    assert rows[1].comparison.error == pytest.approx(0, abs=1e-9)
    assert others == {"pretrained weights are no independent draws": ["second: pretrained"]}


@pytest.mark.usefixtures("drawn_once")
def test_page_holds_the_table_the_figure_and_the_phases(
    records: dict[str, Any], results: list[Any], tmp_path: Any
) -> None:
    text = write_theory(tmp_path, results, records.get).read_text()
    words = " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(svg|style)\b.*?</\1>", "", text, flags=re.S)).split())
    assert "1 of 2 networks lie within 0.01 decades per layer; of the 2 plain ones of width 64 and more, 1." in words
    assert "first: falls +0.0000" in words
    assert "-0.5000" in words
    assert "outside the band of its width: not explained" in words
    assert "and 1 more second: twin" in words
    assert "pretrained weights are no independent draws second: pretrained" in words
    assert text.count("<svg") == 3
    assert not re.findall(r'(?:src|href)="(?!#|data:|index\.html|gallery\.html|theory\.html)', text)
    assert [path.name for path in tmp_path.iterdir()] == ["theory.html"]


@pytest.mark.usefixtures("drawn_once")
def test_page_without_records_says_how_to_measure(results: list[Any], tmp_path: Any) -> None:
    text = write_theory(tmp_path, results, lambda key: None).read_text()
    assert "Nothing measured yet: <code>make reproduce</code>" in text
    assert text.count("<svg") == 2


@pytest.mark.slow
def test_the_same_inputs_give_the_same_page(records: dict[str, Any], results: list[Any], tmp_path: Any) -> None:
    once = write_theory(tmp_path / "a", results, records.get).read_bytes()
    assert write_theory(tmp_path / "b", results, records.get).read_bytes() == once


@pytest.mark.usefixtures("drawn_once")
def test_names_are_text(records: dict[str, Any], results: list[Any], tmp_path: Any) -> None:
    claim = results[0].claim.model_copy(update={"id": "<script>alert(1)</script>"})
    evil = replace(results[0], claim=claim, keys={"<img src=x>": "keeps", "&amp;": "pretrained"})
    text = write_theory(tmp_path, [evil], records.get).read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&amp;amp;" in text
