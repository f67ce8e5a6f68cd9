"""The page of theory beside measurement: every network once, the largest error first, the others with their reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vgtemplate.lab.report.theory_page import write_theory

_NAMES = ("keeps", "twin", "falls", "pretrained", "silent")


@pytest.fixture
def records(make_record: Any) -> dict[str, Any]:
    """Two arms that begin alike, one far off, one pretrained, one without probes, one of no claim."""
    found = {name: replace(make_record("relu"), key=f"key-{name}") for name in (*_NAMES, "stray")}
    for name, record in found.items():
        record.dataset["input_shape"] = [1, 8, 8]
        if name in ("keeps", "twin", "stray"):
            record.series["gradient_rms"] = np.ones((3, 1, 4))
    found["stray"].series["gradient_rms"] = 10.0 ** (0.002 * np.arange(4)) * np.ones((3, 1, 1))
    found["pretrained"].configuration["pretraining"] = {"kind": "rbm"}
    found["pretrained"].configuration["model"]["activation"] = "sigmoid"
    del found["silent"].series["gradient_rms"]
    return found


@pytest.fixture
def results(make_claim: Any, make_record: Any, make_result: Any) -> list[Any]:
    """Two claims with these arms, of which both use one, and one whose record is lost."""
    arms = {"first": ("keeps", "falls", "silent", "lost"), "second": ("twin", "pretrained", "falls")}
    judged = {"sigmoid": make_record("sigmoid")}
    return [
        make_result(make_claim(name), judged, keys={arm: (f"key-{arm}",) for arm in of_claim})
        for name, of_claim in arms.items()
    ]


@pytest.mark.usefixtures("drawn_once")
def test_page_holds_the_table_the_figure_and_the_phases(
    records: dict[str, Any], results: list[Any], tmp_path: Any
) -> None:
    text = write_theory(tmp_path, results, records.values()).read_text()
    words = " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(svg|style)\b.*?</\1>", "", text, flags=re.S)).split())
    assert "2 of 3 networks within 0.01 decades per layer; of the plain ones of width 64 and more, 2 of 3." in words
    assert "Left out: 1: pretrained weights are no independent draws; 1: no gradient was probed." in words
    assert "first: falls and 1 more second: falls +0.0000" in words
    assert "relu (of no claim)" in words
    assert "1: no gradient was probed first: silent" in words
    assert "-0.5000" in words
    assert "outside the band of its width: not explained" in words
    assert "and 1 more second: twin" in words
    assert "1: pretrained weights are no independent draws second: pretrained" in words
    assert text.count("<svg") == 3
    figures = re.findall(r'<section class="figure" id="([^"]+)"', text)
    assert re.findall(r'class="address"><a href="#([^"]+)"', text) == figures != []
    assert not re.findall(r'(?:src|href)="(?!#|data:|index\.html|gallery\.html|theory\.html)', text)
    assert [path.name for path in tmp_path.iterdir()] == ["theory.html"]


@pytest.mark.usefixtures("drawn_once")
def test_page_without_records_says_how_to_measure(results: list[Any], tmp_path: Any) -> None:
    text = write_theory(tmp_path, results, ()).read_text()
    assert "Nothing measured yet: <code>make reproduce</code>" in text
    assert text.count("<svg") == 2


@pytest.mark.slow
def test_the_same_inputs_give_the_same_page(records: dict[str, Any], results: list[Any], tmp_path: Any) -> None:
    once = write_theory(tmp_path / "a", results, records.values()).read_bytes()
    assert write_theory(tmp_path / "b", results, records.values()).read_bytes() == once


@pytest.mark.usefixtures("drawn_once")
def test_names_are_text(records: dict[str, Any], results: list[Any], tmp_path: Any) -> None:
    claim = results[0].claim.model_copy(update={"id": "<script>alert(1)</script>"})
    evil = replace(results[0], claim=claim, keys={"<img src=x>": ("key-keeps",), "&amp;": ("key-pretrained",)})
    text = write_theory(tmp_path, [evil], records.values()).read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&amp;amp;" in text
