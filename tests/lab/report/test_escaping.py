"""Whatever people write into a claim, a name or a record: the report has the same elements, and shows it as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.gallery import FigureConfig, GalleryConfig
from vgtemplate.lab.report.gallery import write_gallery
from vgtemplate.lab.report.page import write_report
from vgtemplate.lab.verdicts import Other
from vgtemplate.prediction import Comparison
from vgtemplate.text import visible

EVIL = {
    "a script": "<script>alert(1)</script>",
    "a script that is closed first": "</title></script></style></svg></textarea><script>alert(1)</script>",
    "a picture": "\"'><img src=x onerror=alert(1)>",
    "an attribute": "' onload='alert(1)' x='",
    "another attribute": '" onmouseover="alert(1)" x="',
    "an SVG": "<svg onload=alert(1)><foreignObject><iframe src=javascript:alert(1)></foreignObject></svg>",
    "a style": "<style>*{display:none}</style>",
    "the beginning of a comment": "<!--x",
    "the end of a comment": "--> <b>x</b>",
    "the end of CDATA": "]]> <b>x</b>",
    "metadata": "<metadata>x</metadata>",
    "an entity": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
    "a template": "{{ 7 * 7 }} {% raw %} {# x #}",
    "an address": "javascript:alert(1)",
    "references": 'url(#x) id="x" href="#x" #000000 #ffffff',
    "writing from right to left": "\u202e\u2066abc",
    "a null": "a\0b<b>",
}


class Page(HTMLParser):
    """The elements of a page with the names of their attributes, its text, and its attributes' values."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def copies(claim: ClaimConfig, **changes: Any) -> ClaimConfig:
    """A claim with names that no file may give: what refuses them in a file is not the report."""
    return ClaimConfig.model_construct(**{**dict(claim), **changes})


@pytest.fixture
def write(tmp_path: Path, make_claim: Any, make_record: Any, make_result: Any) -> Callable[..., Path]:
    """Write a report in which a word stands everywhere a word can stand."""

    def write(word: str) -> Path:
        part = {"metric": "gradient_slope", "arms": ["sigmoid"], "label": word, "threshold": "< -0.3"}
        texts = {"statement": word, "literature": word, "notes": word, "sections": {"bn-relu": word}}
        claim = make_claim(parts=[part], published={word: -0.4}, **texts)
        record = make_record("sigmoid")
        record.dataset.update(name=word, classes=[word, word])
        record.environment.update(device=word, device_name=word, commit=word, versions={"torch": word})
        record.configuration["model"][word] = word
        slopes = {word: Comparison(0.5, 0.4, 0.6, (0.4,), 64, True)}
        changes = {"dataset": word, "failure": word, "slopes": slopes, "keys": {word: "key"}}
        result = make_result(claim, {"sigmoid": record}, **changes)
        part_of_arm = claim.parts[0].model_copy(update={"arms": [word]})
        named = copies(claim, id=word, arms={word: {"model": {word: word}}}, parts=[part_of_arm])
        links, stability = {word: f"http://host/{word}"}, {word: word}
        others = {word: [Other(word, word, (word,), word)]}
        return write_report(tmp_path, [replace(result, claim=named)], {"key": record}.get, links, stability, others)

    return write


def assert_same_elements(evil: Path, harmless: Path) -> tuple[Page, Page]:
    """Two pages have the same elements and attributes, none of which reacts or leads anywhere unknown."""
    pages = Page(evil.read_text(encoding="utf-8")), Page(harmless.read_text(encoding="utf-8"))
    assert pages[0].elements == pages[1].elements
    assert sum(tag == "script" for tag, _ in pages[0].elements) <= 1
    for name, value in pages[0].attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith(("#", "http://host/", "data:,", "index.html", "gallery.html", "theory.html")), value
    return pages


@pytest.mark.parametrize("name", EVIL)
def test_any_text_is_text(write: Callable[..., Path], tmp_path: Path, name: str) -> None:
    word, plain = EVIL[name], "x" * len(EVIL[name])
    evil = write(word).rename(tmp_path / "evil.html")
    page, harmless = assert_same_elements(evil, write(plain))
    # What would be a command is spelt out.
    assert page.text.count(visible(word)) == harmless.text.count(plain) >= 20
    assert any(visible(word) in value for _, value in page.attributes)


def test_any_name_of_an_arm_is_text_in_figures(
    tmp_path: Path, make_claim: Any, make_record: Any, make_result: Any
) -> None:
    words = [word for name, word in EVIL.items() if name != "a null"]  # which no SVG may hold
    paths = []
    for arms in (words, [f"{index:02d}{'x' * (len(word) - 2)}" for index, word in enumerate(words)]):
        claim = make_claim()
        result = make_result(claim, {"sigmoid": make_record("sigmoid")}, keys={arm: arm for arm in arms})
        parts = [claim.parts[0].model_copy(update={"arms": [arm]}) for arm in arms]
        named = copies(claim, arms={arm: {} for arm in arms}, parts=parts)
        records = {arm: make_record("sigmoid") for arm in arms}
        path = write_report(tmp_path, [replace(result, claim=named)], records.get)
        paths.append(path.rename(tmp_path / f"{len(paths)}.html"))
    page, harmless = assert_same_elements(*paths)
    assert sum(tag == "text" for tag, _ in page.elements) > len(words)
    (label,) = [value for name, value in page.attributes if name == "aria-label" and words[0] in value]
    assert all(visible(word) in label for word in words)
    assert all(visible(word) in page.text for word in words if len(word) < 25)
    assert page.text.count("…") == harmless.text.count("…")


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_any_text_is_text_in_the_gallery(tmp_path: Path, make_record: Any) -> None:
    pages = []
    word = " ".join(EVIL.values())
    for name, title in ((word, EVIL["a script that is closed first"]), ("x", "x")):
        record = make_record("four", bias_grad_norm=np.ones((3, 2, 4)), probe_steps=np.arange(2))
        record.dataset.update(name=name)
        figure = FigureConfig.model_construct(experiment=name, arms={title: "four"})
        gallery = GalleryConfig.model_construct(learning_speed=figure, good_range=figure)
        written = write_gallery(tmp_path, gallery, {"learning_speed": {title: record}})
        pages.append(written.rename(tmp_path / f"{len(pages)}.html"))
    page, _ = assert_same_elements(*pages)
    assert page.text.count(visible(word)) == 2
    assert page.text.count(EVIL["a script that is closed first"]) == 2 + page.text.count(visible(word))
