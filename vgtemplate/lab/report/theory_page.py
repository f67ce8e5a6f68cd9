"""The report's page of theory beside measurement: every arm's gradient slope before training, and the phase diagrams.

The networks are counted as `vgt predict --records` counts them: all that have a record in the folder. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vgtemplate.figures.theory import draw_comparison, draw_phase_diagram
from vgtemplate.lab.report.html import embed, render, write_page
from vgtemplate.lab.report.places import Place
from vgtemplate.lab.result import Result
from vgtemplate.prediction import TOLERANCE, WIDE, compare_networks
from vgtemplate.records import Record
from vgtemplate.theory.numpy_activations import FORMULAS
from vgtemplate.theory.phase import grid_around_critical, phase_diagram

_PAGE = "theory.html"
_PHASES = ("tanh", "relu")
PLACES = (
    Place("By how much theory is wrong", "Every network that was measured.", f"{_PAGE}#by-how-much-theory-is-wrong"),
    *(
        Place(f"The phases of {name}", "For which weights gradients vanish and explode.", f"{_PAGE}#phases-of-{name}")
        for name in _PHASES
    ),
)
"""The page's figures."""


def name_records(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return what the claims call a record, by its key: the arms of claims that use it."""
    names: dict[str, list[str]] = {}
    for result in results:
        for arm, keys in result.keys.items():
            for key in keys:
                names.setdefault(key, []).append(f"{result.claim.id}: {arm}")
    return names


def draw_phases(activation: str) -> str:
    """Return an activation's phase diagram as an image in the page."""
    phi = FORMULAS[activation]
    diagram = phase_diagram(phi, *grid_around_critical(phi))
    return embed(draw_phase_diagram(diagram, activation), f"phase diagram of {activation}")


def write_theory(folder: Path, results: Sequence[Result], records: Iterable[Record]) -> Path:
    """Write theory.html, of every record, into `folder` as `write_page` does, and return its path.

    Args:
        results: they name the records; one that no claim uses is called by its own name.
    """
    names = name_records(results)
    networks = compare_networks((names.get(each.key, [f"{each.name} (of no claim)"]), each) for each in records)
    compared = [row.comparison for row in networks.compared]
    alt = "measured less predicted gradient slope of every arm"
    text = render(
        _PAGE,
        here="theory",
        rows=networks.compared,
        others=networks.left_out,
        figure=embed(draw_comparison(compared), alt) if compared else "",
        summary=networks.summary,
        tolerance=TOLERANCE,
        wide_from=WIDE,
        phases={name: draw_phases(name) for name in _PHASES},
    )
    return write_page(folder / _PAGE, text)
