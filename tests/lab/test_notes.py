"""Numbers in the notes of claims are those of committed verdicts, where these have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.notes import held, statements
from vgtemplate.lab.claim import ClaimConfig
from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.verdicts import PartEntry, Verdicts, committed

REPOSITORY = Path(__file__).parents[2]
CLAIMS = load_claims(REPOSITORY / "experiments" / "claims")
FILES = committed("mnist", REPOSITORY / "docs" / "verdicts")
RESIDUAL = CLAIMS["residual-trains-deep"]


def read(notes: str, claim: ClaimConfig = RESIDUAL) -> dict[str, tuple[tuple[float, ...], tuple[str, ...]]]:
    return {found.text: (found.values, found.titles) for found in statements(claim, notes)}


def file(low: float, high: float, title: str = "residual: accuracy", claim: str = RESIDUAL.id) -> Verdicts:
    """Committed verdicts of one part, whose effect is between two numbers."""
    names = ("lowest", "p05", "p25", "median", "p75", "p95", "highest")
    spread = dict.fromkeys(names, high) | {"lowest": low}
    plain: dict[str, Any] = {"role": "assertion", "threshold": "> 0", "verdict": "clears", "cleared": 10, "count": 10}
    part = PartEntry.model_validate(plain | spread | {"title": title, "seeds": "seeds 0 to 9"})
    entry = {"kind": "training", "verdict": "confirmed", "deciding": title, "parts": [part.model_dump()]}
    machine = {"name": "m", "model": "M", "features": [], "capability": "", "cores": 1, "blas": ""}
    content: dict[str, Any] = {"date": "2026-11-26", "dataset": "mnist", "setting": "quick", "machine": machine}
    content |= {"versions": {}, "commits": [], "networks": 1, "seconds": 1.0, "claims": {claim: entry}}
    return Verdicts.model_validate(content)


BOTH = ("residual: accuracy", "plain: accuracy")


@pytest.mark.parametrize(
    ("notes", "values", "titles"),
    [
        ("It trains. Residual: accuracy 0.895 [0.11, 0.909] at the end.", (0.895, 0.11, 0.909), BOTH[:1]),
        ("residual: accuracy is 85 to 91 %", (0.85, 0.91), BOTH[:1]),
        ("The accuracy (median) is 0.9.", (0.9,), BOTH),
        ("Nine are fine (median 0.9).", (0.9,), BOTH),
        ("the test accuracy rises to 3 points", (0.03,), BOTH),
        ("Seeds 0 to 9: the accuracy is 0.9; a digit more: 0.91", (0.9,), BOTH),
    ],
)
def test_number_behind_a_name_is_read(notes: str, values: tuple[float, ...], titles: tuple[str, ...]) -> None:
    ((found, parts),) = read(notes).values()
    assert found == pytest.approx(values)
    assert parts == titles


@pytest.mark.parametrize(
    "notes",
    [
        "The accuracy is above 0.7.",
        "An accuracy of 0.80 was asked for.",
        "The accuracy of 9 of ten networks is high.",
        "The accuracy at rate 0.1 is low.",
        "The accuracy is chance. 0.1 is meant.",
        "On seeds 1000 to 1009 the accuracy is 0.7. There the accuracy was 0.8 before.",
        "On the digits the accuracy is 0.7.",
        "At width 128 the accuracy is 0.7.",
        "Inaccuracy 0.3, accuracyless 0.3.",
        "Nothing is said of 0.7.",
    ],
)
def test_number_that_is_something_else_is_not_read(notes: str) -> None:
    assert read(notes) == {}


def test_number_before_an_arm_is_that_of_its_parts() -> None:
    claim = CLAIMS["batchnorm-sigmoid-insufficient"]
    found = read("It grows slightly, by 0.014 (sigmoid) and 0.044 (tanh) decades per layer, by 3 (relu).", claim)
    assert list(found.values()) == [((0.014,), ("slope of BN + sigmoid",)), ((0.044,), ("slope of BN + tanh",))]


def test_a_paragraph_on_other_seeds_does_not_silence_the_next() -> None:
    assert len(read("On seeds 100 to 109 the accuracy is 0.7.\nThe accuracy is 0.8.")) == 1


def test_steps_are_values_where_steps_are_measured() -> None:
    claim = CLAIMS["depth-slows-sigmoid"]
    title = "smallest rise of the steps to loss 1.0 at an added layer"
    assert read(f"{title}: 68 steps", claim) == {}  # a colon ends what belongs together
    assert list(read(f"{title} is 68 [64, 74] steps", claim).values()) == [((68.0, 64.0, 74.0), (title,))]


@pytest.mark.parametrize(
    ("notes", "low", "high", "is_held"),
    [
        ("residual: accuracy 0.895 [0.11, 0.909]", 0.11, 0.9094, True),
        ("residual: accuracy 0.895 [0.11, 0.909]", 0.11, 0.908, False),
        ("residual: accuracy 0.895 [0.11, 0.909]", 0.12, 0.95, False),
        ("residual: accuracy is 85 to 91 %", 0.854, 0.905, True),
        ("residual: accuracy is 85 to 91 %", 0.86, 0.905, False),
        ("residual: accuracy is 8.5e-1", 0.849, 0.849, True),
        ("residual: accuracy is -0.85", 0.8, 0.9, False),
    ],
)
def test_number_is_held_against_the_range_to_its_last_digit(notes: str, low: float, high: float, is_held: bool) -> None:
    (found,) = statements(RESIDUAL, notes)
    assert held(found, RESIDUAL.id, [file(low, high)]) is is_held
    # Another machine may bear it out; a file that lacks the part says nothing.
    assert held(found, RESIDUAL.id, [file(low, high), file(-1.0, 1.0)]) is True
    assert held(found, RESIDUAL.id, [file(low, high, title="another")]) is None
    assert held(found, RESIDUAL.id, []) is None


@pytest.mark.parametrize("name", CLAIMS)
def test_notes_say_what_the_committed_verdicts_say(name: str) -> None:
    found = statements(CLAIMS[name], CLAIMS[name].notes or "")
    verdicts = {statement.text: held(statement, name, FILES) for statement in found}
    for text, outcome in verdicts.items():
        print(f"{name}: {'not held' if outcome is None else 'held'}: {text}")
    assert [text for text, outcome in verdicts.items() if outcome is False] == []
