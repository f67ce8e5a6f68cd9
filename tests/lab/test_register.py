"""docs/register.md against the claims' YAML: every line is a claim with the register's thresholds and premises.

What the amendments set anew beyond the premises is not held against the YAML here. Claims that the register does not
name are their author's own, and are let be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vgtemplate.lab.catalogue import ARTICLES
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims, resolve_claim
from vgtemplate.lab.threshold import Interval, read_threshold

REPOSITORY = Path(__file__).parents[2]
CLAIMS = REPOSITORY / "experiments" / "claims"
KINDS = {"A": {"exact"}, "B": {"initial"}, "C": {"training", "timing"}}
KINDS["D"] = {"exact", "initial", "training"}
NUMBER = r"[-+]?[\d.]+(?:e-?\d+)?"
TERMS = {"stalls": "<= 0.20", "trains": ">= 0.80", "arms train": ">= 0.80", "both train": ">= 0.80"}
"""The register's words for thresholds, section Terms."""


@dataclass(frozen=True)
class Line:
    """A line of the register: where it stands, which articles say it (each with its sections), what confirms it."""

    kind: str
    articles: dict[str, str]
    thresholds: set[Interval]
    has_premise: bool


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
    whole = (REPOSITORY / "docs" / "register.md").read_text(encoding="utf-8")
    amended, lines, section = read_premises(whole), {}, ""
    for text in whole.splitlines():
        if text.startswith("## "):
            section = text[3] if re.match(r"## [ABCD]\. ", text) else ""
        if section and (cells := text.strip("| ").split(" | "))[0].startswith("`"):
            effect = cells[3 if section == "A" else 4]
            name, has_premise = cells[0].strip("`"), "premise" in effect
            lines[name] = Line(section, read_articles(cells[1]), read_thresholds(effect), has_premise)
    return {name: replace(line, has_premise=name in amended or line.has_premise) for name, line in lines.items()}


def read_premises(text: str) -> set[str]:
    """Read which claims amendment 2 gives a premise: "Premises: `a` no clip diverges; `b`, `c` all die; `d` none."."""
    (said,) = re.findall(r"Premises: (.*?)\. All other parts", text)
    return {name for each in said.split("; ") if not each.endswith(" none") for name in re.findall("`(.*?)`", each)}


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
        "residual-is-shallow": [">= 0.8", "< 0.1", "> 0.3"],
        "shift-is-the-reason": ["> 0.2", "> 1", "< 0.5"],
        "elu-relieves-vanishing": ["> -0.03"],
        "batchnorm-stabilises-training": [">= 0.8"],
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
    said, parts = REGISTER[name].thresholds, claims[name].parts
    assert said <= {read_threshold(part.threshold) for part in parts}
    if claims[name].kind != "exact":
        # What else is asserted stands in words, "signs equal" or "smaller than": a comparison with 0 or 1.
        asserted = {read_threshold(part.threshold) for part in parts if part.role == "assertion"}
        assert {bound for interval in asserted - said for bound in interval.bounds} <= {0.0, 1.0}


@pytest.mark.parametrize("name", REGISTER)
def test_premises_are_the_registers(name: str, claims: dict[str, ClaimConfig]) -> None:
    roles = [part.role for part in claims[name].parts]
    assert ("premise" in roles) == REGISTER[name].has_premise
    assert "assertion" in roles


def test_premises_are_read_as_they_are_written() -> None:
    expected = {"clipping-stops-explosion", "dying-relu", "leaky-beats-relu", "residual-carries-gradient"}
    amended = {name for name, line in REGISTER.items() if line.has_premise}
    assert expected | {"residual-is-shallow", "shift-is-the-reason"} <= amended
    assert not {"sigmoid-vanishes", "growth-threshold", "selu-converges-faster", "init-formulas"} & amended


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
    "median_input_shift": lambda config: config.probes.shift,
    "shift_depth_correlation": lambda config: config.probes.shift,
    "largest_fall": lambda config: config.probes.removal and config.training.evaluate,
    "final_weight_norm": lambda config: config.probes.growth,
    "largest_gradient_norm": lambda config: config.probes.growth,
    "zero_gradient_share": lambda config: config.probes.zero_gradients,
    "final_loss": lambda config: True,
    "diverged": lambda config: True,
}
"""What an arm needs for a metric; every other metric needs its probes."""


EXACT_OF_D = {"glorot-needs-equal-fans", "keras-default-initialiser"}


@pytest.mark.parametrize(
    "name", [name for name, line in REGISTER.items() if line.kind != "A" and name not in EXACT_OF_D]
)
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
