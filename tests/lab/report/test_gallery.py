"""The gallery page: every figure has its article, what is not measured says so, nothing comes from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.gallery import FigureConfig, GalleryConfig, drawn_keys, plan_gallery, read_gallery
from vgtemplate.lab.plan import plan_claims
from vgtemplate.lab.report.gallery import Entry, entries, write_gallery
from vgtemplate.records import Record

CLAIMS = Path(__file__).parents[3] / "experiments" / "claims"
GALLERY = GalleryConfig(
    learning_speed=FigureConfig(experiment="speeds", arms={"two hidden layers": "two", "four hidden layers": "four"}),
    good_range=FigureConfig(experiment="saturates", arms={"without": "plain"}),
)


def record(depth: int, dataset: str = "digits") -> Record:
    """Layer l learns 10^l times as fast as the first; half of the units are saturated."""
    norms = np.broadcast_to(10.0 ** np.arange(depth), (3, 5, depth))
    series = {"bias_grad_norm": norms, "saturated_fraction": np.full((3, 5, depth), 0.5), "probe_steps": np.arange(5)}
    return Record("k", "name", {}, (0, 1, 2), {"name": dataset}, {}, 1.0, series)


def records(dataset: str = "digits") -> dict[str, dict[str, Record]]:
    return {
        "learning_speed": {"two hidden layers": record(2, dataset), "four hidden layers": record(4, dataset)},
        "good_range": {"without": record(10, dataset)},
    }


def _entry(title: str, found: list[Entry]) -> Entry:
    return next(entry for entry in found if entry.title.startswith(title))


@pytest.mark.slow  # the first draws every figure
@pytest.mark.usefixtures("drawn_once")
def test_every_figure_names_known_articles_and_is_described() -> None:
    for entry in entries(GALLERY, records()):
        assert entry.articles
        assert {key for key, _ in entry.articles} <= set(ARTICLES)
        assert f'aria-label="{entry.title}"' in (entry.figure or "")


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.slow
def test_learning_speeds_are_compared_in_words() -> None:
    (caption,) = (entry.caption for entry in entries(GALLERY, records()) if "learn" in entry.title)
    assert "with two hidden layers the last learns 10 times as fast" in caption
    assert "with four hidden layers the last learns 1e+03 times as fast" in caption


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.slow
def test_measured_share_of_saturated_units_is_drawn() -> None:
    (with_record,) = (entry.figure for entry in entries(GALLERY, records()) if "good range" in entry.title)
    (without,) = (entry.figure for entry in entries(GALLERY, {}) if "good range" in entry.title)
    assert "50% saturated" in str(with_record)
    assert "saturated" not in str(without)


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.slow
def test_what_was_not_measured_says_how_to_measure_it(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, GALLERY, {}).read_text()
    assert "Not measured yet: <code>make reproduce</code>" in text


@pytest.mark.usefixtures("drawn_once")
def test_page_is_one_file_without_a_reference_to_anything_outside(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, GALLERY, records()).read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.html"]
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(
        link.startswith(("#", "data:")) or link in ("index.html", "gallery.html", "theory.html") for link in links
    )
    assert "@import" not in text


@pytest.mark.slow
def test_same_records_give_the_same_page(tmp_path: Path) -> None:
    once, again = (write_gallery(tmp_path / name, GALLERY, records()).read_bytes() for name in ("a", "b"))
    assert once == again


@pytest.mark.usefixtures("drawn_once")
def test_name_of_a_data_set_is_text(tmp_path: Path) -> None:
    text = write_gallery(tmp_path, GALLERY, records("<script>alert(1)</script>")).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.usefixtures("drawn_once")
def test_page_is_well_formed(tmp_path: Path) -> None:
    class Counter(HTMLParser):
        depth = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.depth += tag == "section"

        def handle_endtag(self, tag: str) -> None:
            self.depth -= tag == "section"

    parser = Counter()
    text = write_gallery(tmp_path, GALLERY, records()).read_text()
    parser.feed(text)
    assert parser.depth == 0
    assert text.count("<section") == len(entries(GALLERY, {}))


def test_figure_leaves_out_what_did_not_probe_it_and_names_its_claim() -> None:
    without = record(3)
    del without.series["bias_grad_norm"], without.series["saturated_fraction"]
    found = {"learning_speed": {"odd": without}, "good_range": {"odd": without}}
    speed, good_range = (_entry(title, entries(GALLERY, found)) for title in ("How fast", "The good range"))
    assert speed.draw is None
    assert "odd" not in str(good_range.figure)
    assert "share measured by claim saturates" in good_range.caption
    assert "claim" not in _entry("The good range", entries(GalleryConfig(), {})).caption


def test_networks_that_are_drawn_are_those_that_the_repositorys_file_names(tmp_path: Path) -> None:
    claims, gallery = load_claims(CLAIMS), read_gallery(CLAIMS)
    assert gallery.good_range is not None
    assert gallery.learning_speed is not None
    assert set(gallery.good_range.arms.values()) <= set(claims[gallery.good_range.experiment].arms)
    path = CLAIMS.parent / f"{gallery.learning_speed.experiment}.yaml"
    arms = resolve_arms(path, load_experiment(path, ExperimentConfig))
    drawn = {title: arms[name].model.depth for title, name in gallery.learning_speed.arms.items()}
    assert drawn == {"two hidden layers": 2, "four hidden layers": 4}
    for config in arms.values():
        assert config.training.steps == 500
        assert (config.data.num_train, config.data.batch_size) == (1000, 1000)
        assert config.optimiser.weight_decay == pytest.approx(5 / 1000)


def test_experiment_that_is_no_claim_is_planned_beside_the_claims(tmp_path: Path) -> None:
    claim = "two-layer-speed-gap"
    plan = plan_claims({claim: load_claims(CLAIMS)[claim]}, CLAIMS, "digits", range(2), tmp_path)
    jobs = plan_gallery(read_gallery(CLAIMS), CLAIMS, plan, tmp_path)
    assert {(job.experiment, job.name, job.config.data.dataset, job.seeds) for job in jobs} == {
        ("learning-speed", name, "digits", (0, 1)) for name in ("two", "four")
    }
    speed = FigureConfig(experiment="learning-speed", arms={"2": "two", "none": "lost"})
    assert drawn_keys(speed, plan, jobs) == {"2": next(job.key for job in jobs if job.name == "two")}
    arm, key = next(iter(plan.keys[claim].items()))
    assert drawn_keys(FigureConfig(experiment=claim, arms={"x": arm}), plan, jobs) == {"x": key}
    assert (
        plan_gallery(GalleryConfig(good_range=speed.model_copy(update={"experiment": "lost"})), CLAIMS, plan, tmp_path)
        == []
    )


def test_file_of_the_gallery_may_be_missing_and_is_checked(tmp_path: Path) -> None:
    assert read_gallery(tmp_path) == GalleryConfig()
    (tmp_path / "gallery.yaml").write_text("good_rnge: {experiment: a, arms: {b: c}}\n")
    with pytest.raises(UserError, match=r"gallery.yaml: .*good_rnge.*good_range"):
        read_gallery(tmp_path)
