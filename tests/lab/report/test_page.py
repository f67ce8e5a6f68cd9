import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from vgtemplate.config.errors import UserError
from vgtemplate.config.load import merge
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.environments import facts_of
from vgtemplate.lab.judge import Verdict, judge_effects, judge_records
from vgtemplate.lab.picks import Candidate, Pick
from vgtemplate.lab.report.arms import compare_arms, describe_searches
from vgtemplate.lab.report.page import describe_basis, write_report
from vgtemplate.lab.report.strips import draw_strip
from vgtemplate.lab.verdicts import Other
from vgtemplate.prediction import Comparison


class Page(HTMLParser):
    """The page's elements with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def written(tmp_path, make_claim, make_record, make_result, reader):
    """Write the report of a claim with one arm, its settings and result changed as asked."""

    def write(changes=None, links=None, record=None, stability=None, others=None, **settings):
        claim = make_claim(**settings)
        records = {arm: record or make_record(arm) for arm in claim.arms}
        result = make_result(claim, records, **(changes or {}))
        path = write_report(tmp_path / "report", [result], reader(records.values()), links, stability, others)
        return SimpleNamespace(path=path, source=path.read_text(), page=Page(path.read_text()))

    return write


def test_the_first_line_names_data_and_seeds(written):
    done = written()
    (basis,) = [words.strip() for words in done.page.words if words.startswith("Verdicts on")]
    assert (
        basis
        == "Verdicts on digits (scikit-learn (Alpaydin & Kaynak 1998): 1,437 + 360 real digits, 8x8), seeds 0 to 2."
    )
    assert "Provisional: fewer than ten seeds." in done.page.text


def test_a_section_says_all_there_is_to_a_claim(written):
    done = written(notes="A surprise.", sections={"bn-relu": "2.1"}, published={"sigmoid": -0.44})
    assert "sigmoid-vanishes" in [section.get("id") for section in done.page.all("section")]
    for words in (
        "It vanishes.",
        "How Batch Normalization and ReLU solve vanishing gradients",
        "section 2.1",
        "True.",
        "A surprise.",
        "assertion: sigmoid -0.5 [-0.5, -0.5] , to be < -0.3: 3 of 3 networks, seeds 0 to 2: ✓ clears",
        "(published: -0.44)",
        "vgt reproduce sigmoid-vanishes --dataset digits --seeds 3",
        "depth 4",
        "gradient at the start",
        "cpu (a processor), torch 2.15, commit c0ffee",
    ):
        assert words in done.page.text, words


def test_every_text_is_shown_as_text(written):
    evil = '<script>alert("x")</script>&'
    claim = {"statement": evil, "literature": evil, "notes": evil, "sections": {"bn-relu": evil}}
    parts = [{"metric": "gradient_slope", "arms": ["sigmoid"], "label": evil, "threshold": "< -0.3"}]
    changes = {"dataset": evil, "failure": evil}
    links, stability = {"sigmoid-vanishes": f"http://h/{evil}"}, {"sigmoid-vanishes": evil}
    done = written(changes, links, stability=stability, parts=parts, **claim)
    assert done.page.all("script") == [{}]
    assert "alert(" not in re.findall(r"<script>(.*?)</script>", done.source, re.DOTALL)[0]
    assert done.page.text.count(evil) >= 9


def test_a_name_that_a_file_would_not_allow_is_still_text(tmp_path, make_claim, make_record, make_result):
    evil = "<script>alert(1)</script>"
    claim = ClaimConfig.model_construct(**{**dict(make_claim()), "id": evil})
    path = write_report(tmp_path, [make_result(claim, {"sigmoid": make_record("sigmoid")})], lambda key: None)
    page = Page(path.read_text())
    assert page.all("script") == [{}]
    assert evil in page.text


def test_the_page_is_one_file_that_loads_nothing(written):
    done = written()
    assert done.page.all("link") == [{"rel": "icon", "href": "data:,"}]
    loaded = [value for _, attributes in done.page.elements for name, value in attributes.items() if name == "src"]
    assert loaded == []
    assert "@import" not in done.source
    assert not re.search(r"url\((?!#)", done.source)


def test_the_same_results_give_the_same_file(written):
    assert written().source == written().source


def test_nothing_is_left_behind_beside_the_page(written):
    assert [path.name for path in written().path.parent.iterdir()] == ["index.html"]


def test_a_folder_that_refuses_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the report cannot be written"):
        write_report(tmp_path / "file" / "report", [], lambda key: None)


def test_infinities_and_missing_values_are_shown(written):
    part = judge_effects([math.inf, math.nan, -math.inf, 2.0], "> 1", "t", seeds=range(4))
    done = written({"verdict": Verdict("sigmoid-vanishes", "open", True, (part,)), "seeds": (0, 1, 2, 3)})
    assert "2 [-∞, ∞], 1 without a value" in done.page.text
    labels = [svg["aria-label"] for svg in done.page.all("svg") if svg.get("class") == "strip"]
    assert labels == ["seed 0: ∞; seed 2: -∞; seed 3: 2"]
    assert "not drawn: 1 without a value" in done.page.text


def test_a_claim_that_was_not_run_says_so_and_how_to_run_it(tmp_path, make_claim, make_record, make_result):
    claim = make_claim(arms=("sigmoid",))
    changes = {"verdict": None, "was_run": False, "failure": "no record"}
    result = make_result(claim, {"sigmoid": make_record("sigmoid")}, **changes)
    page = Page(write_report(tmp_path, [result], lambda key: None).read_text())
    assert "No verdict: no record" in page.text
    assert "0 of 0 that were judged hold" in page.text
    assert "of 0 claims that were judged none; 1 not run" in page.text
    assert "Those that were not judged, and why no record sigmoid-vanishes" in page.text
    assert page.all("tr")[1]["data-verdict"] == "not run"


def test_bars_count_a_claim_for_each_of_its_articles(written):
    done = written(articles=["bn-relu", "slow-training"])
    links = [link["href"] for link in done.page.all("a") if "aria-label" in link]
    assert links == [
        "#verdict=confirmed",
        "#article=bn-relu&verdict=confirmed",
        "#article=slow-training&verdict=confirmed",
    ]


def test_a_claim_of_ones_own_is_shown_as_such_and_no_article_is_named(written):
    done = written(articles=[])
    assert [link["href"] for link in done.page.all("a") if "aria-label" in link] == [
        "#verdict=confirmed",
        "#article=own&verdict=confirmed",
    ]
    assert done.page.all("tr")[1]["data-articles"] == "own"
    assert "own" in [option.get("value") for option in done.page.all("option")]
    for words in (
        "What we say about",
        "Our own claims 1 of 1 that were judged hold",
        "our own · initial",
        "us: no article makes this",
    ):
        assert words in done.page.text, words
    assert "articles say" not in done.page.text


def test_a_claim_of_ones_own_stands_beside_those_of_the_articles(tmp_path, make_claim, make_record, make_result):
    claims = [make_claim("ours", articles=[]), make_claim("theirs")]
    results = [make_result(claim, {"sigmoid": make_record("sigmoid")}) for claim in claims]
    page = Page(write_report(tmp_path, results, lambda key: None).read_text())
    assert "What four articles say about vanishing and exploding gradients, and what we say ourselves" in page.text
    assert "All claims 2 of 2 that were judged hold" in page.text
    assert "Our own claims 1 of 1 that were judged hold" in page.text
    assert [row["data-articles"] for row in page.all("tr")[1:3]] == ["own", "bn-relu"]


def test_how_a_claim_was_judged_again_is_said(written):
    text = written(stability={"sigmoid-vanishes": "not stable: open on float32"}).page.text
    assert "Judged again not stable: open on float32" in text
    assert "provisional not stable" in text
    assert "Judged again" not in written().page.text


def test_verdicts_of_other_machines_stand_beside_a_claim_and_those_that_differ_are_marked(written):
    found = [
        Other("Intel Xeon, AVX512", "confirmed", ("10 of 10", "28 of 30"), "2026-11-02"),
        Other("AMD EPYC, AVX2", "refuted", ("0 of 10", "28 of 30"), "2026-11-01"),
        Other("AMD EPYC, AVX2", "refuted", ("0 of 10", "28 of 30"), "2026-10-01"),
        Other("<b>", "open", ("5 of 10",), "2026-09-01"),
    ]
    done = written(others={"sigmoid-vanishes": found})
    assert (
        "Elsewhere confirmed on Intel Xeon, AVX512 (10 of 10; 28 of 30) "
        "refuted on AMD EPYC, AVX2 (0 of 10; 28 of 30) differs from this run open on <b> (5 of 10)"
    ) in done.page.text
    assert done.page.text.count("differs from this run") == 1
    assert "differs elsewhere" in done.page.text
    alike = written(others={"sigmoid-vanishes": found[:1]}).page.text
    assert "Elsewhere confirmed" in alike
    assert "differs from" not in alike
    assert "differs elsewhere" not in alike
    assert "Elsewhere" not in written().page.text


def test_the_machine_of_this_run_is_not_taken_for_another(written):
    here = {"sigmoid": facts_of({"device": "cpu", "processor": {"model": "AMD EPYC", "capability": "AVX2"}})}
    others = {"sigmoid-vanishes": [Other("AMD EPYC, AVX2", "confirmed", ("10 of 10",), "2026-11-01")]}
    text = written({"environments": here}, others=others).page.text
    assert "confirmed on AMD EPYC, AVX2, as in this run (10 of 10)" in text


def test_records_of_different_environments_are_said(written):
    facts = {f"arm {threads}": facts_of({"threads": threads}) for threads in (1, 2)}
    text = written({"environments": facts}).page.text
    assert "Records made in different environments: 1 thread (1 arm), 2 threads (1 arm)" in text
    assert "different environments" not in written().page.text


def test_rows_carry_what_is_filtered_by(written):
    row = written(articles=["bn-relu", "causes-cures"]).page.all("tr")[1]
    expected = {
        "verdict": "confirmed",
        "articles": "bn-relu causes-cures",
        "kind": "initial",
        "claim": "sigmoid-vanishes",
    }
    assert {name.removeprefix("data-"): value for name, value in row.items()} == expected


def test_a_link_to_mlflow_is_given_where_there_is_one(written):
    address = "http://127.0.0.1:5000/#/experiments/7"
    assert address in [link["href"] for link in written(links={"sigmoid-vanishes": address}).page.all("a")]
    assert "MLflow" not in written().page.text


def test_theory_stands_beside_what_was_measured(written):
    slopes = {"sigmoid": Comparison(-0.4321, -0.5, -0.4, (-0.5,), 64, True)}
    text = written({"slopes": slopes}).page.text
    assert "sigmoid -0.432 -0.500 -0.068" in text


def test_make_is_named_where_it_does_the_same(written, make_record):
    record = make_record("sigmoid", seeds=10)
    usual = written({"dataset": "mnist"}, record=record).page.text
    assert "make claim-sigmoid-vanishes vgt reproduce sigmoid-vanishes --dataset mnist --seeds 10" in usual
    other = written({"dataset": "mnist", "seeds": tuple(range(5, 15))}, record=record).page.text
    assert "make claim-" not in other
    assert "--seeds 10 --first-seed 5" in other
    full = written({"dataset": "mnist", "setting": "full"}, record=record).page.text
    assert "vgt reproduce sigmoid-vanishes --dataset mnist --seeds 10 --setting full" in full
    assert "make claim-" not in full
    photographs = replace(record, configuration=merge(record.configuration, {"data": {"path": "my pictures"}}))
    text = written({"dataset": "mnist", "setting": "full"}, record=photographs).page.text
    assert "--setting full --cifar 'my pictures'" in text


def test_basis_in_words(make_claim, make_record, make_result):
    quick = make_result(make_claim(), {"sigmoid": make_record("sigmoid")}, dataset="mine", seeds=(0,))
    exact = replace(quick, dataset="-", seeds=())
    assert describe_basis([exact]) == "No claim here needs data or seeds."
    assert describe_basis([exact, quick]) == (
        "Verdicts on mine, seed 0. 1 claim is a formula or a timing: it needs no data and no seeds."
    )
    assert describe_basis([quick, replace(quick, setting="full")]) == (
        "Verdicts on mine, seed 0; mine, seed 0, full setting."
    )
    ten, thirty, hundred = (replace(quick, seeds=tuple(range(number))) for number in (10, 30, 100))
    assert describe_basis([thirty, ten, hundred, thirty]) == (
        "Verdicts on mine, seeds 0 to 9 (2 on seeds 0 to 29 and 1 on seeds 0 to 99)."
    )


def test_a_strip_places_dots_on_the_right_side_of_the_line():
    strip = draw_strip([1.0, 3.0, 2.0], "> 2", [7, 8, 9])
    (line,) = strip.lines
    assert [dot.x < line for dot in strip.dots] == [True, False, False]
    assert strip.dots[2].x == line
    assert [dot.clears for dot in strip.dots] == [False, True, False]
    assert strip.allowed == (line, 100.0)
    assert [dot.text for dot in strip.dots] == ["seed 7: 1", "seed 8: 3", "seed 9: 2"]


def test_a_strip_of_effects_far_from_the_threshold_is_logarithmic():
    strip = draw_strip([1e6, 1e8], "> 100", [0, 1])
    assert strip.logarithmic
    np.testing.assert_allclose(
        np.diff([strip.lines[0], *(dot.x for dot in strip.dots)]), [4 / 6 * 86.2, 2 / 6 * 86.2], atol=0.1
    )
    assert not draw_strip([1.0, 50.0], "> 100", [0, 1]).logarithmic
    assert not draw_strip([-1e6, 1e8], "> 100", [0, 1]).logarithmic


@pytest.mark.parametrize("effects", [[0.0, 0.0], [math.inf, math.inf], [math.nan, math.nan], [1e-300, 1e300]])
def test_strips_of_odd_effects_stay_within_their_width(effects):
    strip = draw_strip(effects, "<= 0", [0, 1])
    assert all(0 <= dot.x <= 100 for dot in strip.dots)
    assert strip.without_value == sum(map(math.isnan, effects))


def test_arms_share_settings_and_differ_in_others():
    arms = {
        "a": {
            "model": {"kind": "mlp", "depth": 3, "norm": "none", "norm_position": "before"},
            "optimiser": {"lr": 0.1},
        },
        "b": {
            "model": {"kind": "mlp", "depth": 3, "norm": "none", "norm_position": "before"},
            "optimiser": {"lr": 0.3},
        },
    }
    table = compare_arms(arms)
    assert table.shared == {"model": ["mlp", "depth 3"]}
    assert (table.columns, table.rows) == (["optimiser.lr"], [("a", ["0.1"]), ("b", ["0.3"])])


def test_a_search_says_what_was_picked_among_what_and_how_the_seeds_spread(make_claim, written):
    search = {"arms": ["sigmoid"], "grid": {"optimiser.lr": [0.01, 0.1]}}
    losses = [(0.01, 0.5), (0.1, 0.2)]
    candidates = [Candidate(settings={"optimiser.lr": x}, median=y, lowest=0.1, highest=0.6) for x, y in losses]
    pick = Pick(
        date="2026-11-26",
        seeds=[1000, 1001],
        metric="validation_loss",
        trial="sigmoid",
        picked={"optimiser.lr": 0.1},
        candidates=candidates,
    )
    both = make_claim(arms=("sigmoid", "tanh"), search=[search | {"arms": ["sigmoid", "tanh"]}])
    assert describe_searches(both, {"sigmoid": pick, "tanh": pick})[0].startswith("sigmoid, tanh: optimiser.lr 0.1 (")
    (sentence,) = describe_searches(make_claim(search=[search]), {"sigmoid": pick})
    assert sentence == (
        "sigmoid: optimiser.lr 0.1 (validation_loss 0.2 [0.1, 0.6], seeds 1000 to 1001): "
        "the least validation_loss of optimiser.lr 0.01, 0.1"
    )
    done = written({"picks": {"sigmoid": pick}}, search=[search])
    assert f"Picked on tuning seeds {sentence}" in done.page.text


@pytest.fixture
def judged(written, make_claim, make_record):
    """Write the report of a claim of a premise and two assertions, given how many of 10 networks clear each."""

    def write(premise, *assertions, seeds=10):
        arms = ["control", *(f"arm-{index}" for index in range(len(assertions)))]
        parts = [
            {"metric": "test_accuracy", "arms": [arm], "label": arm, "threshold": ">= 0.8"}
            | ({"role": "premise"} if arm == "control" else {})
            for arm in arms
        ]
        claim = {"arms": arms, "parts": parts, "kind": "training"}
        counts = dict(zip(arms, (premise, *assertions), strict=True))
        records = {
            arm: make_record(arm, seeds=seeds, test_accuracy=np.where(7 * np.arange(seeds) % seeds < count, 0.9, 0.1))
            for arm, count in counts.items()
        }
        verdict = judge_records(make_claim(**claim), records)
        return written({"verdict": verdict, "seeds": tuple(range(seeds))}, **claim).page

    return write


@pytest.mark.parametrize(
    ("cleared", "word", "because"),
    [
        ((0, 10, 10), "not tested", "a premise does not hold (control >= 0.8: 0 of 10 networks, seeds 0 to 9)"),
        ((10, 10, 0), "partly", "clears: arm-0 >= 0.8: 10 of 10 networks, seeds 0 to 9; does not clear: arm-1 >= 0.8"),
        ((10, 10, 6), "open", "arm-1 >= 0.8: 6 of 10 networks, seeds 0 to 9; more seeds decide"),
        ((10, 10), "confirmed", ""),
        ((10, 0), "refuted", ""),
    ],
)
def test_a_verdict_says_why(judged, cleared, word, because):
    page = judged(*cleared)
    assert page.all("tr")[1]["data-verdict"] == word
    assert because in page.text
    assert (f"{word.capitalize()}: " in page.text) == bool(because)
    assert "premise: control" in page.text
    assert "more seeds have to decide: make decide" in page.text


def test_a_claim_that_depends_on_the_seed_gives_the_interval_of_the_share(judged):
    page = judged(100, 50, seeds=100)
    low, high = stats.binomtest(50, 100).proportion_ci(method="exact")
    assert "50 of 100 networks, seeds 0 to 99: ≈ depends on the seed" in page.text
    assert f"95 % interval of the share that clears: {low:.0%} to {high:.0%}" in page.text


def test_the_first_picture_has_all_six_words_with_their_counts(judged):
    text = judged(10, 10).text
    for word, count in (("✓ confirmed", 1), ("✗ refuted", 0), ("◐ partly", 0), ("≈ depends on the seed", 0)):
        assert f"{word} {count} " in text, word
    assert "∅ not tested 0 a premise does not clear" in text
    assert "… open 0 more seeds" in text
    assert "All claims: of 1 claim that was judged 1 confirmed." in text


def test_seeds_of_later_looks_are_said_and_how_to_repeat_them(written, make_claim, make_record):
    seeds = tuple(range(30))
    record = make_record("sigmoid", seeds=30)
    done = written({"seeds": seeds, "keys": {"sigmoid": ("a", "b")}}, record=record).page.text
    assert "vgt reproduce sigmoid-vanishes --dataset digits --decide" in done


def test_two_claims_that_contradict_each_other_are_settled_on_top(
    tmp_path, make_claim, make_record, make_result, reader
):
    words = {"confirmed": {"confirmed": "both are right."}}
    found = {"claim": "other", "metric": "gradient_slope", "other_metric": "test_accuracy", "sentences": words}
    accuracy = [{"metric": "test_accuracy", "arms": ["sigmoid"], "threshold": ">= 0.8"}]
    record = make_record("sigmoid", seeds=10)
    claims = [make_claim("this", contradicts=found), make_claim("other", parts=accuracy, kind="training")]
    results = [make_result(claim, {"sigmoid": record}) for claim in claims]
    source = write_report(tmp_path, results, reader([record])).read_text()
    page = Page(source)
    assert "Which is right: this or other ?" in page.text
    assert "With sigmoid, both are right." in page.text
    assert source.index('id="this-or-other"') < source.index('id="claims"')
    labels = [svg.get("aria-label", "") for svg in page.all("svg")]
    assert any(label.startswith("this or other: gradient") and "test accuracy" in label for label in labels)
    assert [link["href"] for link in page.all("a")].count("#this-or-other") == 2
