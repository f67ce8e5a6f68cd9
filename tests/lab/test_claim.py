"""What a claim may say; all else is answered with one line that names the file, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.catalogue import ARTICLES, CHECKS, COMBINATIONS
from vgtemplate.lab.claim import ClaimConfig, FullConfig, PartConfig, SearchConfig
from vgtemplate.lab.claims import load_any, load_claim

CLAIM = {
    "id": "it",
    "articles": "[bn-relu]",
    "statement": "Something is so.",
    "kind": "initial",
    "arms": "{a: {}, b: {}}",
    "parts": '[{metric: gradient_slope, arms: [a], threshold: "< 1"}]',
    "literature": "True.",
}


def write(folder: Path, text: str) -> Path:
    path = folder / "it.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def claim_text(**changes: str | None) -> str:
    """Return a valid claim's YAML with some keys replaced, or left out where None."""
    return "".join(f"{key}: {value}\n" for key, value in (CLAIM | changes).items() if value is not None)


def part_text(**changes: str) -> str:
    part = {"metric": "gradient_slope", "arms": "[a]", "threshold": '"< 1"'} | changes
    return claim_text(parts="[{" + ", ".join(f"{key}: {value}" for key, value in part.items()) + "}]")


def refusal(path: Path) -> str:
    """Load what must be refused, and return the message after checking that it is one line that names the file."""
    with pytest.raises(UserError) as caught:
        load_any(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_valid_claim_is_loaded(tmp_path: Path) -> None:
    claim = load_any(write(tmp_path, claim_text(sections='{bn-relu: "1.3"}')))
    assert isinstance(claim, ClaimConfig)
    assert (claim.articles, claim.sections) == (["bn-relu"], {"bn-relu": "1.3"})


def test_claim_of_ones_own_names_no_article(tmp_path: Path) -> None:
    assert load_claim(write(tmp_path, claim_text(articles="[]"))).articles == []


REFUSED = {
    "unknown key": (claim_text(statment="x"), "statment: unknown key 'statment'; did you mean 'statement'?"),
    "unknown key of a part": (part_text(treshold="x"), "parts.0.treshold: unknown key 'treshold'; did you mean 'thre"),
    "article": (claim_text(articles="[bnrelu]"), "articles.0: unknown article 'bnrelu'; did you mean 'bn-relu'?"),
    "section of another article": (
        claim_text(sections='{causes-cures: "1"}'),
        "unknown article of the claim 'causes-cures'; known: bn-relu",
    ),
    "section of a claim of one's own": (
        claim_text(articles="[]", sections='{bn-relu: "1"}'),
        "unknown article of the claim 'bn-relu'; known: none",
    ),
    "combination": (part_text(combine="larges"), "parts.0.combine: unknown combination 'larges'; did you mean 'larges"),
    "metric": (part_text(metric="gradient_slop"), "parts.0: unknown metric 'gradient_slop'; did you mean 'gradient_sl"),
    "arm": (part_text(arms="[depe]"), "parts.0: unknown arm 'depe'; known: a, b"),
    "option": (
        part_text(metric="largest_abs_mean", options="{from_laye: 2}"),
        "parts.0: unknown option of largest_abs_mean 'from_laye'; did you mean 'from_layer'?",
    ),
    "check": (
        claim_text(kind="exact", check="init_formula", arms=None),
        "check: unknown check 'init_formula'; did you mean 'init_formulas'?",
    ),
    "quantity": (
        claim_text(kind="exact", check="init_formulas", arms=None, parts='[{metric: ks, threshold: "< 1"}]'),
        "parts.0: unknown quantity of check init_formulas 'ks'; known: ",
    ),
    "no parts": (claim_text(parts=None), "parts: is missing"),
    "an empty list of parts": (claim_text(parts="[]"), "parts: list should have at least 1 item"),
    "no statement": (claim_text(statement=None), "statement: is missing"),
    "no arms": (
        claim_text(arms="{}", parts='[{metric: offset, threshold: "< 1"}]'),
        "parts.0: combination 'only' takes",
    ),
    "id of another file": (claim_text(id="other"), "id: 'other' must be the file's name, 'it'"),
    "exact without check": (claim_text(kind="exact"), "a claim of kind exact or timing names its check"),
    "check without exact": (claim_text(check="init_formulas"), "a claim of kind exact or timing names its check"),
    "exact part with arms": (
        claim_text(kind="exact", check="chain_rule_product").replace("gradient_slope", "error_at_depth_4"),
        "parts.0: a part of an exact claim has no arms",
    ),
    "too few arms": (part_text(combine="difference"), "parts.0: combination 'difference' takes 2 arms, not 1"),
    "too many arms": (part_text(arms="[a, b]"), "parts.0: combination 'only' takes 1 arms, not 2"),
    "nothing to compare": (part_text(combine="largest"), "parts.0: combination 'largest' takes at least 2 arms, not 1"),
    "no arm": (part_text(arms="[]"), "parts.0: combination 'only' takes 1 arms, not 0"),
    "threshold in words": (part_text(threshold="small"), "parts.0.threshold: cannot read threshold 'small'; allowed"),
    "threshold without sign": (part_text(threshold='"0.3"'), "parts.0.threshold: cannot read threshold"),
    "threshold is nan": (part_text(threshold='"< nan"'), "parts.0.threshold: cannot read threshold"),
    "threshold is a number": (part_text(threshold="3"), "parts.0.threshold: input should be a valid string, not '3'"),
    "bounds in wrong order": (part_text(threshold='"between 2 and 1"'), "parts.0.threshold: cannot read threshold"),
    "option in words": (
        part_text(metric="largest_abs_mean", options="{from_layer: first}"),
        "parts.0.options.from_layer: input should be a valid integer, not 'first'",
    ),
    "layers counted from 0": (
        part_text(metric="largest_abs_mean", options="{from_layer: 0}"),
        "parts.0.options.from_layer: input should be greater than or equal to 1",
    ),
    "id that leaves the folder": (claim_text(id='"../x"'), "id: '../x' cannot be a name; allowed: lower-case letters"),
    "arm that leaves the folder": (part_text(arms='["../x"]'), "parts.0.arms.0: '../x' cannot be a name; allowed"),
    "steps that are ignored in the full setting": (
        claim_text(base="long", arms="{a: {training: {steps: 9}}, b: {}}"),
        "arms.a: training.steps is ignored, since arm 'a' has training.epochs: 5; add epochs: null",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_claim_cannot_say_is_named_with_its_key(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("training: {epochs: 5}")
    assert message in refusal(write(tmp_path, text))


def nested(kind: str, depth: int = 50) -> str:
    """Return an alias bomb: a structure of 2^depth leaves in a few hundred characters."""
    text = "&x0 leaf"
    for level in range(1, depth):
        both = f"{text}, *x{level - 1}"
        text = f"&x{level} [{both}]" if kind == "list" else f"&x{level} {{p: {both.replace(', *', ', q: *')}}}"
    return text


@pytest.mark.parametrize("kind", ["list", "mapping"])
@pytest.mark.parametrize("place", [claim_text(parts="BOMB"), part_text(options="BOMB"), part_text(metric="BOMB")])
def test_alias_bomb_is_refused_without_being_unfolded(place: str, kind: str, tmp_path: Path) -> None:
    assert len(refusal(write(tmp_path, place.replace("BOMB", nested(kind))))) < 1000


FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEYS = [*ClaimConfig.model_fields, *PartConfig.model_fields, *SearchConfig.model_fields, *ArmConfig.model_fields, "a"]
NAMES = [*catalogue.METRICS, *COMBINATIONS, *CHECKS, *ARTICLES, "exact", "initial", "< 1", "between 1 and 2", "it", "a"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.sampled_from(NAMES), st.text(max_size=8)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@FEW
@given(st.dictionaries(st.sampled_from(KEYS), TREES, min_size=1, max_size=5), st.booleans())
def test_any_tree_is_a_claim_or_refused(tmp_path: Path, tree: dict[str, Any], over_a_claim: bool) -> None:
    content = yaml.safe_load(claim_text()) | tree if over_a_claim else tree
    path = write(tmp_path, yaml.safe_dump(content, allow_unicode=True))
    try:
        load_any(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - it may also be a claim


def test_part_is_named_by_its_label_or_else_by_what_it_computes() -> None:
    part = {"metric": "gradient_slope", "arms": ["a", "b"], "combine": "difference", "threshold": "< 1"}
    assert PartConfig.model_validate(part).title == "gradient_slope difference (a, b)"
    assert PartConfig.model_validate(part | {"label": "gap"}).title == "gap"
    assert PartConfig(metric="error", threshold="< 1").title == "error"


@pytest.mark.parametrize("schema", [ClaimConfig, PartConfig, SearchConfig, FullConfig])
def test_every_key_has_its_text(schema: type[BaseModel]) -> None:
    for name, info in schema.model_fields.items():
        assert info.description, f"{schema.__name__}.{name} has no text"
