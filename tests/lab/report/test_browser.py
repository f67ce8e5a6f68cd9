"""The report in a real browser, opened from disk as a reader opens it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from vgtemplate.lab.counts import OUTCOMES
from vgtemplate.lab.judge import VERDICTS
from vgtemplate.lab.report.page import write_report
from vgtemplate.lab.report.places import Place
from vgtemplate.lab.verdicts import Other

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

WIDTHS, SCHEMES = (360, 1400), ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        # Containers have no sandbox; the pages are our own.
        options: dict[str, Any] = {"args": ["--no-sandbox"]}
        if not Path(tools.chromium.executable_path).exists():
            system = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
            if system is None:
                pytest.skip("no browser: run `playwright install chromium`, or install chromium")
            options["executable_path"] = system
        started = tools.chromium.launch(**options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory, make_claim, make_record, make_result) -> Path:
    """A report with several verdicts, every kind of figure, and names as long as they get."""
    arms = tuple(f"an-arm-with-a-rather-long-name-{number}" for number in range(12))
    accuracy = [{"metric": "test_accuracy", "arms": [arm], "threshold": ">= 0.8"} for arm in arms]
    claims = [
        make_claim(),
        make_claim("tanh-vanishes", arms=("tanh",), statement="It vanishes with tanh.", articles=["slow-training"]),
        make_claim("many-arms", arms=arms, kind="training", parts=accuracy, notes="word " * 200 + "unheard-of " * 5),
        make_claim("a" * 80, arms=("relu",), literature="x" * 200),
    ]
    records, results = {}, []
    for claim in claims:
        of_claim = {arm: make_record(arm, seeds=10) for arm in claim.arms}
        records |= {(record.key,): record for record in of_claim.values()}
        results.append(make_result(claim, of_claim))
    losses = np.where(np.arange(60) < 30, 2.0, np.nan) * np.ones((10, 1))
    records[(f"key-{arms[0]}",)].series["train_loss"][:] = losses
    results[1] = replace(results[1], verdict=replace(results[1].verdict, verdict="refuted"))
    results[3] = replace(results[3], verdict=None, was_run=False, failure="run it")
    elsewhere = [
        Other("Intel Xeon Platinum 8488C, AVX512", "confirmed", ("10 of 10", "28 of 30"), "2026-11-02"),
        Other("A" * 70, "depends on the seed", ("55 of 100",) * 12, "2026-11-01"),
        Other("AMD EPYC, AVX2", "refuted", ("0 of 10",), "2026-10-01"),
    ]
    others = {claim.id: elsewhere for claim in claims}
    places = [Place("A figure of saturation", "Where tanh is flat.", "gallery.html#a-figure", ("slow-training",))]
    return write_report(tmp_path_factory.mktemp("report"), results, records.get, others=others, places=places)


@pytest.fixture
def opened(browser, report) -> Iterator[Any]:
    """Open the report; afterwards nothing may have complained, nor been asked for elsewhere."""
    contexts, complaints, asked = [], [], []

    def open_page(width: int = 1400, scheme: str = "light", place: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri() + place)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def shown(page: Any) -> list[str]:
    """Return the claims whose rows are visible, once the sections agree with them."""
    rows = page.eval_on_selector_all(
        "table.claims tbody tr", "all => all.filter(x => x.offsetHeight).map(x => x.dataset.claim)"
    )
    sections = page.eval_on_selector_all("section.claim", "all => all.filter(x => x.offsetHeight).map(x => x.id)")
    assert rows == sections
    return list(rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_that_keeps_anybody_out(opened, scheme):
    found = Axe().run(opened(scheme=scheme))
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found.response["violations"]] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_has_to_be_scrolled_sideways(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = """all => all.filter(x => x.offsetParent && !x.closest('.scroll, svg')
        && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.outerHTML.slice(0, 80))"""
    assert page.eval_on_selector_all("body *", beyond) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_words_in_figures_are_large_enough_to_read(opened, width):
    sizes = opened(width).eval_on_selector_all(
        "figure svg text", "all => all.map(x => parseFloat(getComputedStyle(x).fontSize) * x.getScreenCTM().a)"
    )
    assert len(sizes) > 20
    assert min(sizes) >= 8.5


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_scheme_is_the_readers(opened, scheme, dark):
    page = opened(scheme=scheme)
    grounds = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    words = page.eval_on_selector("figure svg text", "x => getComputedStyle(x).fill.match(/\\d+/g).map(Number)")
    assert (max(grounds) < 64) == dark
    assert (min(words) > 192) == dark


def test_all_words_fit_on_a_telephone(browser, tmp_path, make_claim, make_record, make_result):
    record = make_record("sigmoid", seeds=10)
    results = []
    for outcome in OUTCOMES:
        result = make_result(make_claim(outcome.replace(" ", "-")), {"sigmoid": record})
        verdict = replace(result.verdict, verdict=outcome) if outcome in VERDICTS else None
        results.append(replace(result, verdict=verdict, was_run=outcome != "not run"))
    path = write_report(tmp_path, results, lambda keys: record)
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = page.eval_on_selector_all(".bar-row.all .bar a", "all => all.map(x => [x.offsetWidth, x.scrollWidth])")
    assert len(boxes) == len(OUTCOMES)
    assert all(inside <= outside for outside, inside in boxes)
    page.close()


def test_filters_by_verdict_article_kind_and_words(opened):
    page = opened()
    everything = shown(page)
    assert everything == ["sigmoid-vanishes", "tanh-vanishes", "many-arms", "a" * 80]
    page.select_option("[name=verdict]", "refuted")
    assert shown(page) == ["tanh-vanishes"]
    page.select_option("[name=verdict]", "")
    page.select_option("[name=article]", "bn-relu")
    assert shown(page) == ["sigmoid-vanishes", "many-arms", "a" * 80]
    page.select_option("[name=kind]", "training")
    assert shown(page) == ["many-arms"]
    assert page.inner_text("#filter output") == "1 of 4 claims, 0 of 1 figures"
    page.click("#filter button")
    playwright.expect(page.locator("#filter output")).to_have_text("4 of 4 claims, 1 of 1 figures")
    assert page.evaluate("location.hash") == ""
    assert shown(page) == everything
    page.fill("[name=text]", "TANH vanishes")
    assert shown(page) == ["tanh-vanishes"]


def test_the_search_finds_what_a_row_does_not_show_and_says_where(opened):
    page = opened()
    page.fill("[name=text]", "Unheard-Of word")
    assert shown(page) == ["many-arms"]
    found = page.inner_text("tr[data-claim=many-arms] .found")
    assert "word unheard-of unheard-of" in found
    assert len(found) < 130
    # An arm's name stands in the figure and the table of settings alone.
    page.fill("[name=text]", "long-name-7")
    assert shown(page) == ["many-arms"]
    page.fill("[name=text]", "saturation flat")
    assert shown(page) == []
    assert page.locator(".elsewhere li:visible a").get_attribute("href") == "gallery.html#a-figure"
    assert page.inner_text("#filter output") == "0 of 4 claims, 1 of 1 figures"
    assert not page.locator("#nothing").is_visible()


def test_what_nothing_has_says_so_and_leads_back(opened):
    page = opened(place="#text=nothing+has+these")
    assert "Nothing here has all of these words" in page.inner_text("#nothing")
    assert not page.locator("table.claims thead").is_visible()
    page.click("#nothing button")
    playwright.expect(page.locator("#filter output")).to_have_text("4 of 4 claims, 1 of 1 figures")
    assert not page.locator("#nothing").is_visible()


def test_the_search_needs_no_mouse(opened):
    page = opened()
    page.keyboard.press("/")
    page.keyboard.type("tanh/vanishes")
    assert page.input_value("[name=text]") == "tanh/vanishes"
    page.fill("[name=text]", "tanh vanishes")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "tanh-vanishes"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#tanh-vanishes"
    playwright.expect(page.locator("#tanh-vanishes")).to_be_in_viewport()


def test_a_claims_address_is_copied(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.click("#many-arms .address a")
    playwright.expect(page.locator("#many-arms output")).to_have_text("copied")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == page.url
    assert address.endswith("/index.html#many-arms")


def test_a_browser_that_lets_nothing_be_copied_has_it_in_the_address_bar(opened):
    page = opened()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.click("#many-arms .address a")
    playwright.expect(page.locator("#many-arms output")).to_have_text("now in the address bar")
    assert page.url.endswith("#many-arms")


def test_claims_are_folded_on_a_telephone_and_open_where_they_are_asked_for(opened):
    page = opened(360)
    evidence = page.locator("#sigmoid-vanishes .statement")
    assert not evidence.is_visible()
    page.click("tr[data-claim=sigmoid-vanishes] a")
    playwright.expect(evidence).to_be_visible()
    assert not page.locator("#tanh-vanishes .statement").is_visible()
    page.click("#sigmoid-vanishes summary")
    assert not evidence.is_visible()
    # Once more to the same address.
    page.click("tr[data-claim=sigmoid-vanishes] a")
    playwright.expect(evidence).to_be_visible()
    page.set_viewport_size({"width": 1400, "height": 900})
    playwright.expect(page.locator("#tanh-vanishes .statement")).to_be_visible()
    assert not page.locator("summary:visible").filter(has_text="Details").count()


def test_paper_has_every_claim_in_full_and_nothing_to_press(opened):
    page = opened(360)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("section.claim .statement:visible").count() == 4
    assert page.locator("nav:visible, form:visible, .address:visible, .back:visible").count() == 0
    # Without it a browser leaves grounds out, and the words of a verdict with them.
    kept = page.eval_on_selector_all(".bar a, .badge", "all => all.map(x => getComputedStyle(x).printColorAdjust)")
    assert set(kept) == {"exact"}


def test_the_state_is_in_the_address(opened):
    page = opened(place="#verdict=not+run&kind=initial")
    assert shown(page) == ["a" * 80]
    page.fill("[name=text]", "nothing has these words")
    assert page.evaluate("location.hash") == "#verdict=not+run&kind=initial&text=nothing+has+these+words"
    assert shown(page) == []
    again = opened(place=page.evaluate("location.hash"))
    assert again.input_value("[name=text]") == "nothing has these words"
    assert shown(again) == []


def test_a_bar_of_the_picture_filters(opened):
    page = opened()
    page.click(".bar-row:not(.all) a.refuted")
    assert shown(page) == ["tanh-vanishes"]
    assert page.input_value("[name=article]") == "slow-training"


def test_a_link_to_a_claim_shows_it_even_if_it_was_filtered_out(opened):
    page = opened(place="#verdict=refuted")
    page.evaluate("location.hash = '#many-arms'")
    playwright.expect(page.locator("#many-arms")).to_be_visible()
    assert len(shown(page)) == 4
    direct = opened(place="#many-arms")
    assert abs(direct.evaluate("document.getElementById('many-arms').getBoundingClientRect().top")) < 900


@pytest.mark.parametrize("width", WIDTHS)
def test_without_javascript_the_page_is_whole(opened, width):
    page = opened(width, java_script_enabled=False)
    assert page.locator("table.claims tbody tr:visible").count() == 4
    assert page.locator("section.claim .statement:visible").count() == 4
    assert page.locator(".elsewhere li:visible").count() == 1
    assert not page.locator("#filter").is_visible()
    assert not page.locator("#nothing").is_visible()
