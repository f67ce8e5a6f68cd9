"""Whoever lacks one kind of cones tells the report's colours apart: verdicts in both schemes, and curves."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.colours import CURVES, SEEN, closest, lab
from vgtemplate.figures.style import SERIES_COLOURS
from vgtemplate.lab.report.html import render
from vgtemplate.lab.verdict_picture import LOOKS

VERDICTS = 15
"""Least distance in CIE Lab; a verdict has its word and sign besides."""


def verdict_colours(scheme: int) -> dict[str, str]:
    values = re.findall(r":root \{([^}]*)\}", render("style.css"))[scheme]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", values))
    return {name: colours[name] for name in ("confirmed", "refuted", "partly", "depends", "untested", "open", "failed")}


def test_lab_is_that_of_published_values():
    np.testing.assert_allclose(lab("#ff0000"), [53.24, 80.09, 67.20], atol=0.01)
    np.testing.assert_allclose(lab("#0000ff"), [32.30, 79.19, -107.86], atol=0.01)
    for kind in SEEN:
        np.testing.assert_allclose(lab("#777777", kind), lab("#777777"), atol=0.01)
    # Who lacks the long cones takes this red for that brown.
    assert closest({"red": "#b3261e", "brown": "#8a5a00"}, "deuteranopia")[0] < 5


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("scheme", [0, 1])
def test_verdicts_are_told_apart(kind, scheme):
    found = closest(verdict_colours(scheme), kind)
    assert found[0] >= VERDICTS, found


@pytest.mark.parametrize("kind", SEEN)
def test_curves_are_told_apart(kind):
    found = closest({colour: colour for colour in SERIES_COLOURS}, kind)
    assert found[0] >= CURVES, found


def test_the_picture_of_all_verdicts_has_the_reports_colours():
    colours = verdict_colours(0)
    words = {"depends on the seed": "depends", "not tested": "untested"}
    assert {verdict: colour for verdict, (colour, _) in LOOKS.items()} == {
        verdict: colours[words.get(verdict, verdict)] for verdict in LOOKS
    }
