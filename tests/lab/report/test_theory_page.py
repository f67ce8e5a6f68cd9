"""The page of theory beside measurement: every network once, the largest error first, the others with their reason."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from vgtemplate.prediction import Comparison
from vgtemplate.figures.theory import draw_comparison, draw_phase_diagram, draw_prediction
from vgtemplate.lab.report.theory_page import collect, write_theory
from vgtemplate.theory.critical import critical_sigma_w_sq
from vgtemplate.theory.numpy_activations import ACTIVATIONS
from vgtemplate.theory.phase import phase_diagram
from vgtemplate.theory.profiles import predict


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


RESULTS = [
    {"id": "first", "records": {"keeps": "keeps", "falls": "falls", "silent": "silent", "lost": "lost"}},
    {"id": "second", "records": {"twin": "twin", "pretrained": "pretrained"}},
]


def test_networks_are_collected_once_and_sorted_by_their_error(records: dict[str, Any]) -> None:
    rows, others = collect(RESULTS, records.get)
    assert [row.names for row in rows] == [["first: falls"], ["first: keeps", "second: twin"]]
    assert rows[0].comparison.error == pytest.approx(-0.5)
    assert rows[1].comparison.error == pytest.approx(0, abs=1e-9)
    assert others == {"pretrained weights are no independent draws": ["second: pretrained"]}


def test_page_holds_the_table_the_figure_and_the_phases(records: dict[str, Any], tmp_path: Any) -> None:
    text = write_theory(tmp_path, RESULTS, records.get).read_text()
    words = " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(svg|style)\b.*?</\1>", "", text, flags=re.S)).split())
    assert "1 of 2 networks lie within 0.01 decades a layer; of the 2 plain ones of width 64 and more, 1." in words
    assert "first: falls +0.0000" in words
    assert "-0.5000" in words
    assert "outside the band of its width: not explained" in words
    assert "and 1 more second: twin" in words
    assert "pretrained weights are no independent draws second: pretrained" in words
    assert text.count("<svg") == 3
    assert not re.findall(r'(?:src|href)="(?!#|data:|index\.html|gallery\.html|theory\.html)', text)
    assert [path.name for path in tmp_path.iterdir()] == ["theory.html"]


def test_page_without_records_says_how_to_measure(tmp_path: Any) -> None:
    text = write_theory(tmp_path, RESULTS, lambda key: None).read_text()
    assert "Nothing measured yet: <code>make reproduce</code>" in text
    assert text.count("<svg") == 2


@pytest.mark.slow
def test_the_same_inputs_give_the_same_page(records: dict[str, Any], tmp_path: Any) -> None:
    once = write_theory(tmp_path / "a", RESULTS, records.get).read_bytes()
    assert write_theory(tmp_path / "b", RESULTS, records.get).read_bytes() == once


def test_names_are_text(records: dict[str, Any], tmp_path: Any) -> None:
    evil = [{"id": "<script>alert(1)</script>", "records": {"<img src=x>": "keeps", "&amp;": "pretrained"}}]
    text = write_theory(tmp_path, evil, records.get).read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&amp;amp;" in text


def test_profile_is_drawn_with_its_band() -> None:
    prediction = predict("tanh", 40, weight_std=0.2)
    upper, lower = draw_prediction(prediction, "a network", 64).axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), prediction.log10_gradient_rms)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), prediction.log10_signal_rms)
    low, high = prediction.gradient_band
    edge = upper.collections[0].get_paths()[0].vertices[:, 1]
    assert (edge.min(), edge.max()) == pytest.approx((low.min(), high.max()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("std", [0.0, 1e-3, 30.0])
def test_profile_that_leaves_all_range_is_drawn(std: float) -> None:
    draw_prediction(predict("relu", 500, weight_std=std), "a network", 64).draw_without_rendering()


def test_flat_profile_looks_flat() -> None:
    upper, lower = draw_prediction(predict("relu", 5, weight_std=np.sqrt(2 / 64)), "a network", 64).axes
    for axes in (upper, lower):
        bottom, top = axes.get_ylim()
        assert top - bottom >= 1 - 1e-9


def test_phases_are_coloured_by_what_the_gradient_does() -> None:
    weights, biases = np.linspace(0.1, 3, 30), np.array([0.0, 0.05, 0.2])
    tanh = ACTIVATIONS["tanh"]
    critical = np.array([critical_sigma_w_sq(tanh, variance) for variance in biases])
    figure = draw_phase_diagram(phase_diagram(tanh, weights, biases), "tanh")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), critical)
    shown = axes.collections[0].get_array().reshape(3, 30)
    signs = np.sign(weights[None] - critical[:, None])
    assert (np.sign(shown) == signs)[np.abs(weights[None] - critical[:, None]) > 0.15].all()


def test_errors_are_drawn_over_the_slopes() -> None:
    compared = [
        Comparison(-0.3, -0.4, -0.2, (-0.31, -0.33), 64, True),
        Comparison(0.1, 0.0, 0.2, (0.1, 0.12), 64, False),
    ]
    axes = draw_comparison(compared).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], pytest.approx(line.get_ydata()[0])) for line in dots] == [(-0.3, -0.02), (0.1, 0.01)]
