"""docs/register.md against the claims' YAML: every line of sections A to C is a claim with the register's thresholds.

Section D and what the amendments set anew are not held against the YAML here. Claims that the register does not name
are their author's own, and are let be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims, resolve_claim
from vgtemplate.lab.threshold import Interval, read_threshold

REPOSITORY = Path(__file__).parents[2]
CLAIMS = REPOSITORY / "experiments" / "claims"
KINDS = {"A": {"exact"}, "B": {"initial"}, "C": {"training", "timing"}}
NUMBER = r"[-+]?[\d.]+(?:e-?\d+)?"
TERMS = {"stalls": "<= 0.20", "trains": ">= 0.80", "arms train": ">= 0.80"}
"""The register's words for thresholds, section Terms."""


@dataclass(frozen=True)
class Line:
    """A line of the register: where it stands, which articles say it (each with its sections), what confirms it."""

    kind: str
    articles: dict[str, str]
    thresholds: set[Interval]


def read_articles(cell: str) -> dict[str, str]:
    """Read "bn-relu 1.3, 2.1; causes-cures", or "all four"."""
    said = list(ARTICLES) if cell == "all four" else cell.split("; ")
    return {name: sections for name, _, sections in (article.partition(" ") for article in said)}


def read_thresholds(cell: str) -> set[Interval]:
    """Read every threshold that an effect's cell names: "-> > 0.2", "between 1 and 2", "in [0.5, 1.5]", "trains"."""
    texts = re.findall(rf"(?<!-)[<>]=? {NUMBER}|between {NUMBER} and {NUMBER}", cell)
    # A variance in [0.5, 1.5] is one that differs from 1 by at most 0.5.
    texts += [f"<= {(float(high) - float(low)) / 2}" for low, high in re.findall(r"in \[([\d.]+), ([\d.]+)\]", cell)]
    texts += [threshold for word, threshold in TERMS.items() if re.search(rf"\b{word}\b", cell)]
    return {read_threshold(text) for text in texts}


def read_register() -> dict[str, Line]:
    lines, section = {}, ""
    for text in (REPOSITORY / "docs" / "register.md").read_text(encoding="utf-8").splitlines():
        if text.startswith("## "):
            section = text[3] if re.match(r"## [ABC]\. ", text) else ""
        if section and (cells := text.strip("| ").split(" | "))[0].startswith("`"):
            effect = cells[3 if section == "A" else 4]
            lines[cells[0].strip("`")] = Line(section, read_articles(cells[1]), read_thresholds(effect))
    return lines


REGISTER = read_register()


@pytest.fixture(scope="module")
def claims() -> dict[str, ClaimConfig]:
    return load_claims(CLAIMS)


def test_register_is_read_as_it_is_written() -> None:
    assert {line.kind for line in REGISTER.values()} == set(KINDS)
    assert REGISTER["derivative-bounds"].articles == {
        "bn-relu": "1.3, 2.1",
        "unstable-gradients": "",
        "causes-cures": "",
    }
    assert set(REGISTER["relu-keeps-gradient"].articles) == set(ARTICLES)
    for name, texts in {
        "chain-rule-product": ["< 1e-10"],
        "four-layer-speed-gap": ["between 1.5 and 2.5"],
        "growth-threshold": ["< 0.03", "> 0.95"],
        "large-init-explodes": ["> 0.1"],
        "selu-self-normalises": ["< 0.2", "<= 0.5"],
        "deep-sigmoid-stalls": ["< 0.001", "<= 0.2", ">= 0.8"],
        "batchnorm-regularises": ["> -0.01"],
        "prelu-overfits-small": ["> 0.01"],
        "depth-helps": [],
    }.items():
        assert REGISTER[name].thresholds == {read_threshold(text) for text in texts}, name


@pytest.mark.parametrize("name", REGISTER)
def test_line_of_the_register_is_a_claim_of_its_articles(name: str, claims: dict[str, ClaimConfig]) -> None:
    line, claim = REGISTER[name], claims[name]
    assert claim.kind in KINDS[line.kind]
    assert set(claim.articles) == set(line.articles)
    assert {
        article: sections for article, sections in line.articles.items() if sections
    }.items() <= claim.sections.items()


@pytest.mark.parametrize("name", [name for name, line in REGISTER.items() if line.thresholds])
def test_thresholds_are_the_registers(name: str, claims: dict[str, ClaimConfig]) -> None:
    said, used = REGISTER[name].thresholds, {read_threshold(part.threshold) for part in claims[name].parts}
    assert said <= used
    if REGISTER[name].kind != "A":
        # What else is asked stands in words, "signs equal" or "smaller than": a comparison with 0 or 1.
        assert {bound for interval in used - said for bound in interval.bounds} <= {0.0, 1.0}


def test_every_article_makes_claims(claims: dict[str, ClaimConfig]) -> None:
    assert {article for claim in claims.values() for article in claim.articles} == set(ARTICLES)


MEASURED_BY = {
    "validation_loss": lambda config: config.data.num_validation > 0,
    "psnr": lambda config: config.training.evaluate and config.model.output == "image",
    "test_accuracy": lambda config: config.training.evaluate and config.model.output == "logits",
    "generalisation_gap": lambda config: config.training.evaluate and config.training.evaluate_train,
    "training_error": lambda config: config.training.evaluate_train,
    "test_error": lambda config: config.training.evaluate and config.model.output == "logits",
    "steps_to_loss": lambda config: config.training.stop_loss is not None,
    "input_shift": lambda config: config.probes.shift,
    "gradient_change": lambda config: config.probes.gradient_change,
    "final_loss": lambda config: True,
    "diverged": lambda config: True,
}
"""What an arm needs for a metric; every other metric needs its probes."""


@pytest.mark.parametrize("name", [name for name, line in REGISTER.items() if line.kind != "A"])
def test_seeded_claim_measures_what_it_judges(name: str, claims: dict[str, ClaimConfig]) -> None:
    parts = claims[name].parts
    for arm, config in resolve_claim(CLAIMS / f"{name}.yaml", claims[name]).items():
        for metric in {part.metric for part in parts if arm in part.arms}:
            assert MEASURED_BY.get(metric, lambda config: config.probes.every != 0)(config), (arm, metric)
        deepest = max((part.options.get("from_layer", 1) for part in parts if arm in part.arms), default=1)
        assert deepest <= config.model.depth, arm


def test_published_values_stand_beside_a_part(claims: dict[str, ClaimConfig]) -> None:
    for name, claim in claims.items():
        assert set(claim.published) <= {part.title for part in claim.parts}, name
