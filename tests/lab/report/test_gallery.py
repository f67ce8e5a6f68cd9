"""The gallery page: every figure has its article, what is not measured says so, nothing comes from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vgtemplate.config.catalogue import ARTICLES
from vgtemplate.config.load import load_claims, load_experiment, resolve_arms
from vgtemplate.records import Record
from vgtemplate.lab.report.gallery import UNSATURATES, WITHOUT_BN, entries, write_gallery
from vgtemplate.lab.plan import LEARNING_SPEED

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def record(name: str, depth: int, dataset: str = "digits") -> Record:
    """Layer l learns 10^l times as fast as the first; half of the units are saturated."""
    norms = np.broadcast_to(10.0 ** np.arange(depth), (3, 5, depth))
    series = {"bias_grad_norm": norms, "saturated_fraction": np.full((3, 5, depth), 0.5), "probe_steps": np.arange(5)}
    return Record("k", name, {}, (0, 1, 2), {"name": dataset}, {}, 1.0, series)


def records(dataset: str = "digits") -> dict[str, Record]:
    return {name: record(name, depth, dataset) for name, depth in (("two", 2), ("four", 4), (WITHOUT_BN, 10))}


def test_every_figure_names_known_articles_and_is_described() -> None:
    for entry in entries(records()):
        assert entry.figure is not None
        assert entry.articles
        assert {key for key, _ in entry.articles} <= set(ARTICLES)
        assert f'aria-label="{entry.title}"' in entry.figure


@pytest.mark.slow
def test_learning_speeds_are_compared_in_words() -> None:
    (caption,) = (entry.caption for entry in entries(records()) if "learn" in entry.title)
    assert "with two hidden layers the last learns 10 times as fast" in caption
    assert "with four hidden layers the last learns 1e+03 times as fast" in caption


@pytest.mark.slow
def test_measured_share_of_saturated_units_is_drawn() -> None:
    (with_record,) = (entry.figure for entry in entries(records()) if "good range" in entry.title)
    (without,) = (entry.figure for entry in entries({}) if "good range" in entry.title)
    assert "50% saturated" in str(with_record)
    assert "saturated" not in str(without)


@pytest.mark.slow
def test_what_was_not_measured_says_how_to_measure_it(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, {}).read_text()
    assert "Not measured yet: <code>make reproduce</code>" in text


def test_page_is_one_file_without_a_reference_to_anything_outside(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, records()).read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.html"]
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(
        link.startswith(("#", "data:")) or link in ("index.html", "gallery.html", "theory.html") for link in links
    )
    assert "@import" not in text


@pytest.mark.slow
def test_same_records_give_the_same_page(tmp_path: Path) -> None:
    assert (
        write_gallery(tmp_path / "a", records()).read_bytes() == write_gallery(tmp_path / "b", records()).read_bytes()
    )


def test_name_of_a_data_set_is_text(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, records("<script>alert(1)</script>")).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_page_is_well_formed(tmp_path: Path) -> None:
    class Counter(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.depth += tag == "section"

        def handle_endtag(self, tag: str) -> None:
            self.depth -= tag == "section"

    parser = Counter()
    text = write_gallery(tmp_path, records()).read_text()
    parser.feed(text)
    assert parser.depth == 0
    assert text.count("<section") == len(entries({}))


def test_records_that_are_drawn_exist_in_the_experiments() -> None:
    assert WITHOUT_BN in load_claims(EXPERIMENTS)[UNSATURATES].arms
    path = EXPERIMENTS / f"{LEARNING_SPEED}.yaml"
    arms = resolve_arms(path, load_experiment(path))
    assert {name: config.model.depth for name, config in arms.items()} == {"two": 2, "four": 4}
    for config in arms.values():
        assert config.training.steps == 500
        assert (config.data.num_train, config.data.batch_size) == (1000, 1000)
        assert config.optimiser.weight_decay == pytest.approx(5 / 1000)
