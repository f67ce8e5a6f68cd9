"""How verdicts look in a terminal: one line per claim, and the details."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vgtemplate.config.schema import ArmConfig
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.cli.tables import print_details, verdict_line, verdict_table
from vgtemplate.lab.environments import facts_of
from vgtemplate.lab.judge import Verdict, join_parts, judge_effects, judge_records
from vgtemplate.lab.picks import Candidate, Pick
from vgtemplate.lab.result import Result
from vgtemplate.prediction import compare_slopes
from vgtemplate.records import Record

CLAIMS = Path(__file__).parents[3] / "experiments" / "claims"


def printed(show: Callable[[Console], None], width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def record(name: str, slope: float) -> Record:
    config = ArmConfig.model_validate({"model": {"depth": 4, "initialiser": {"name": "he_normal", "gain": 0.5}}})
    series = {"gradient_rms": 10 ** (slope * np.array([[[3.0, 2.0, 1.0, 0.0]]]))}
    dataset = {"name": "digits", "input_shape": [1, 8, 8]}
    return Record("k", name, config.model_dump(mode="json"), (0,), dataset, {}, 1.0, series, {"layer": []})


def result(kind: str = "initial") -> Result:
    claim = ClaimConfig.model_validate(
        {
            "id": "half-vanishes",
            "articles": ["bn-relu"],
            "statement": "It [really] vanishes.",
            "kind": kind,
            "arms": {"half": {}},
            "parts": [{"metric": "gradient_slope", "arms": ["half"], "label": "slope", "threshold": "< -0.1"}],
            "literature": "True.",
            "published": {"slope": -0.3},
        }
    )
    found = record("half", slope=-0.29)
    compared = compare_slopes(found)
    assert compared is not None
    judged = judge_records(claim, {"half": found})
    return Result(claim, judged, {"half": ("k",)}, "digits", (0,), "quick", 1.0, {"half": compared})


def with_effects(effects: Sequence[Sequence[float]], threshold: str = "between 1.5 and 2.5") -> Result:
    parts = tuple(
        judge_effects(each, threshold, f"part {index}", seeds=range(len(each))) for index, each in enumerate(effects)
    )
    return replace(result(), verdict=Verdict("half-vanishes", join_parts(parts), False, parts))


def test_a_claim_is_one_line_of_the_part_that_decides() -> None:
    shown = with_effects([[2.0, 2.0], [2.0, 9.0], [2.4, 2.4]])
    lines = printed(lambda console: console.print(verdict_table([shown, result()], "claims", 200)))
    assert lines[1] == "claim verdict effect: median [min, max] networks threshold"
    assert lines[3:5] == [
        "half-vanishes open 5.5 [2, 9] 1 of 2 1.5 to 2.5",
        "half-vanishes confirmed* -0.29 1 of 1 < -0.1",
    ]
    assert "* provisional" in lines[-1]
    assert printed(lambda console: console.print(verdict_line(shown))) == [
        "open half-vanishes: 5.5 [2, 9], to be between 1.5 and 2.5: 1 of 2 networks"
    ]


def made_on(environment: dict[str, object], key: str = "k") -> Result:
    return replace(result(), environments={"half": facts_of(environment)}, keys={"half": (key,)})


def test_records_of_several_environments_are_one_line_below_the_table() -> None:
    old, new = ({"versions": {"torch": version}, "threads": 1} for version in ("2.12.1", "2.13.0"))
    mixed = [made_on(new), made_on(new), made_on(new, "k2"), made_on(old, "k3")]
    lines = printed(lambda console: console.print(verdict_table(mixed, "claims", 200)))
    # An arm that two claims share is one arm.
    assert lines[-1] == "made in different environments: torch 2.13 (2 arms), torch 2.12 (1 arm)"
    alike = printed(lambda console: console.print(verdict_table(mixed[:3], "claims", 200)))
    assert alike[-1].startswith("* provisional")


def test_a_claim_of_several_environments_says_so_in_its_details_and_as_json() -> None:
    said = "made in different environments: 1 thread (1 arm), 2 threads (1 arm)"
    facts = {f"arm {number}": facts_of({"threads": number}) for number in (1, 2)}
    mixed = replace(result(), environments=facts)
    assert said in printed(lambda console: print_details(mixed, console))
    assert mixed.to_json()["environments"] == said
    assert result().to_json()["environments"] == ""


def test_failed_claim_has_its_line_and_its_reason() -> None:
    failed = replace(result(), verdict=None, failure="half: it [broke]")
    table = printed(lambda console: console.print(verdict_table([failed], "claims", 200)))
    assert table[3] == "half-vanishes failed - - -"
    assert printed(lambda console: console.print(verdict_line(failed))) == ["failed half-vanishes: half: it [broke]"]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_every_claim_has_one_line_that_fits(width: int) -> None:
    """Also where every number takes as many characters as a number can."""
    widest = with_effects([[-1.23e-05, -1.23e-05, -1.24e-05] * 4])
    claims = load_claims(CLAIMS).values()
    shown = [replace(widest, claim=claim) for claim in claims]
    console = Console(file=io.StringIO(), width=width)
    console.print(verdict_table(shown, "claims", width))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[3 : 3 + len(shown)]] == [claim.id for claim in claims]


def test_details_are_the_parts_the_theory_and_the_literature() -> None:
    lines = printed(lambda console: print_details(result(), console))
    assert lines == [
        "half-vanishes: confirmed (provisional: judged on fewer than ten seeds)",
        "It [really] vanishes.",
        "slope: -0.29, to be < -0.1: 1 of 1 network, seed 0 (published: -0.3), clears",
        "gradient slope in theory / measured: half -0.301 / -0.290",
        "literature: True.",
        "time: 1.0 s",
    ]
    training = printed(lambda console: print_details(result("training"), console))
    assert not any("in theory" in line for line in training)
    slopes = result().to_json()["gradient_slopes"]["half"]
    assert (slopes["predicted"], slopes["median"]) == pytest.approx((-math.log10(2), -0.29))


def test_details_say_what_was_picked_by_what_and_how_far_it_scattered() -> None:
    tried = [Candidate(settings={"optimiser.lr": lr}, median=2.0, lowest=1.0, highest=None) for lr in (0.1, 0.3, 1.0)]
    pick = Pick(
        date="2026-01-01",
        seeds=[1000, 1001],
        metric="validation_loss",
        trial="half",
        picked={"optimiser.lr": 0.3},
        candidates=tried,
    )
    lines = printed(lambda console: print_details(replace(result(), picks={"half": pick}), console))
    assert "picked: half: optimiser.lr 0.3 (validation_loss 2 [1, none], seeds 1000 to 1001)" in lines
