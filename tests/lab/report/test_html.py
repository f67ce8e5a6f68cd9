import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup
from matplotlib.figure import Figure

from vgtemplate.figures.style import GRID, MUTED, SERIES_COLOURS
from vgtemplate.lab.report.html import embed, render, write_page


def make_figure(title: str = "a title") -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0.123456789, 1, 0], color=SERIES_COLOURS[0], marker="o")
    axes.grid(color=GRID)
    axes.text(1, 0.5, "aside", color=MUTED)
    axes.set_title(title)
    return figure


def luminance(colour: str) -> float:
    """WCAG 2.1: relative luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_figure_gives_the_same_characters():
    assert embed(make_figure(), "x") == embed(make_figure(), "x")


def test_a_figure_is_an_image_with_its_words():
    svg = ElementTree.fromstring(embed(make_figure(), 'it "is" <this>'))
    assert (svg.get("role"), svg.get("aria-label")) == ("img", 'it "is" <this>')


def test_text_stays_text_and_is_escaped():
    svg = embed(make_figure('<script>alert("1")</script> #000000'), "x")
    assert "<script" not in svg
    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert '<script>alert("1")</script> #000000' in texts
    assert "aside" in texts


def test_figures_of_a_page_share_no_identifier_and_every_reference_is_met():
    first, second = (embed(make_figure(title), title) for title in ("one", "two"))
    identifiers = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert not identifiers[0] & identifiers[1]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', first))
    assert used
    assert used <= identifiers[0]


def test_a_shortened_path_goes_through_the_same_points():
    figure = Figure(figsize=(4, 3))
    axes = figure.add_axes((0, 0, 1, 1))
    heights = np.random.default_rng(0).normal(size=100)
    (line,) = axes.plot(heights, color=SERIES_COLOURS[0])
    (path,) = (path for path in re.findall(r' d="([^"]*)"', embed(figure, "x")) if len(path) > 400)
    start, steps = path.split("l")
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", f"{start} {steps}")]
    drawn = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)
    # Points of an SVG are 72 to the inch, and count from the top.
    expected = axes.transData.transform(line.get_xydata()) * 72 / figure.dpi
    expected[:, 1] = 3 * 72 - expected[:, 1]
    np.testing.assert_allclose(drawn, expected, atol=0.051)


def test_paths_of_a_page_share_their_styles(tmp_path):
    page = write_page(tmp_path / "page.html", f"<style></style>{embed(make_figure(), 'x')}{embed(make_figure(), 'y')}")
    source = page.read_text()
    assert not re.search(r"<path[^>]* style=", source)
    classes = set(re.findall(r'<path[^>]* class="([^"]*)"', source))
    rules = dict(re.findall(r"^\.(\w+)\{(.*)\}$", source.replace("<style>", "<style>\n"), re.MULTILINE))
    assert classes <= set(rules)
    assert any(f"stroke:{SERIES_COLOURS[0]}" in rule for rule in rules.values())
    assert len(set(rules.values())) == len(rules)


def test_ink_and_ground_follow_the_scheme_and_curves_keep_their_colour():
    svg = embed(make_figure(), "x")
    assert not re.search(r"#000000|#ffffff|#e5e5e5|#595959", svg)
    assert "currentColor" in svg
    assert "var(--line)" in svg
    assert "var(--muted)" in svg
    assert SERIES_COLOURS[0] in svg


@pytest.mark.parametrize("ground", ["#ffffff", "#14171b"])
def test_curves_stand_out_from_both_grounds(ground):
    assert f"--ground: {ground}" in render("style.css")
    assert min(contrast(colour, ground) for colour in SERIES_COLOURS) >= 3


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_are_readable_on_both_grounds(scheme):
    """WCAG 2.1 AA: 4.5 for text; verdicts are also written on their colour in the ground's."""
    values = re.findall(r":root \{([^}]*)\}", render("style.css"))[scheme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", values))
    verdicts = ("confirmed", "refuted", "partly", "depends", "untested", "open", "failed")
    names = ("ink", "muted", "link", *verdicts)
    assert {name: contrast(colours[name], colours["ground"]) >= 4.5 for name in names} == dict.fromkeys(names, True)


def test_a_missing_value_is_an_error_not_an_empty_place():
    with pytest.raises(UndefinedError):
        render("index.html")


def test_svg_goes_into_a_page_unescaped():
    assert isinstance(embed(make_figure(), "x"), Markup)
