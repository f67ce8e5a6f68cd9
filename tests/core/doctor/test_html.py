"""The page of a report: complete, escaped, without anything from outside, and readable in a real browser."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.colours import CURVES, SEEN, closest
from vgtemplate.doctor.charts import Curve, draw, linear, logarithmic
from vgtemplate.doctor.report import Finding, Report

EVIL = '<script>alert("x")</script>'


def report(layers: int = 8) -> Report:
    cure = "Glorot's initialisation"
    finding = Finding("vanishing-depth", (EVIL, "body.0"), 3, f"10^-9 & less {EVIL}", "each layer shrinks it", cure)
    profile = np.logspace(-9, 0, layers) * np.ones((5, 1))
    profile[2, 3] = np.nan
    steps, losses = [0, 1, 2, 10, 11], [2.3, 2.2, float("nan"), 2.0, 1.9]
    profiles = {"gradient_rms": profile, "signal_rms": profile * 0 + 1, "update_ratio": profile}
    return Report([finding], [f"note {EVIL}"], steps, losses, [f"layer{i}{EVIL}" for i in range(layers)], profiles)


class Tags(HTMLParser):
    """Holds every tag against the one that closes it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


@pytest.mark.parametrize("text", [report().to_html(), report()._repr_html_(), Report().to_html()])
def test_page_is_sound_escaped_and_loads_nothing(text: str) -> None:
    tags = Tags(text)
    assert tags.open == []
    assert "script" not in tags.seen
    assert not re.findall(r"(?:src|href|url)\s*[=(]|@import|https?:", text)


def test_page_has_all_of_the_report() -> None:
    text = report().to_html()
    for words in ("vanishing-depth", "certain, since step 3", "each layer shrinks it", "Glorot&#x27;s", "step 11"):
        assert words in text
    assert text.count("<figure>") == 4
    assert report()._repr_html_().count("<figure>") == 1


def test_value_that_is_not_finite_is_a_gap() -> None:
    curve = Curve("a", np.arange(5.0), np.array([1.0, 2.0, np.inf, 0.0, 4.0]))
    svg = re.search(r"<svg.*</svg>", draw("t", [curve], "x", is_log=True))
    assert svg is not None
    path = ElementTree.fromstring(svg[0]).find(".//path[@class='line']")
    assert path is not None
    assert re.findall("[ML]", path.attrib["d"]) == ["M", "L", "M"]


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_are_told_apart_without_one_kind_of_cones(scheme: str, kind: str) -> None:
    light, dark = (dict(re.findall(r"--(c\d):(#[0-9a-f]{6})", part)) for part in report().to_html().split("@media", 1))
    colours = {"light": light, "dark": dark}[scheme]
    assert len(colours) == 3
    found = closest(colours, kind)
    assert found[0] >= CURVES, found


def test_axes_hold_their_values_between_round_marks() -> None:
    assert linear(np.array([0.0, 7.0])).ticks == (0, 2, 4, 6)
    assert linear(np.array([3.0])).place(3.0) == 0.5
    axis = logarithmic(np.array([2e-9, 0.5]))
    assert (axis.low, axis.high) == (-9, 0)
    assert axis.place(1e-9) == 0
    assert [axis.label(tick) for tick in axis.ticks] == ["1e-9", "1e-7", "1e-5", "1e-3", "1e-1"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_telephone_and_asks_for_nothing(scheme: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "page.html").write_text(report(40).to_html(), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(args=["--no-sandbox"], executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        style = "getComputedStyle(document.body)"
        ground, ink = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
        browser.close()
    assert len(asked) == 1
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, ink)]
    assert (brightness[0] < brightness[1]) is (scheme == "dark")
