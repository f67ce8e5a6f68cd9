"""All of the fourth zoo's trainings, and the hash of their list."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.fourth import (
    healthy_games,
    healthy_loops,
    healthy_more,
    healthy_recipes,
)

SHELVES = (
    healthy_recipes,
    healthy_games,
    healthy_loops,
    healthy_more,
)
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
"""The fourth zoo's, in any order."""
