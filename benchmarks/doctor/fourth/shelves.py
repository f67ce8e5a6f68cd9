"""All of the fourth zoo's trainings, and the hash of their list."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.fourth import (
    healthy_games,
    healthy_loops,
    healthy_more,
    healthy_recipes,
    healthy_tricky,
    ill_depth,
    ill_ends,
    ill_halves,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_registration,
    ill_scales,
    ill_steps,
    ill_time,
    ill_units,
)

SHELVES = (
    healthy_recipes,
    healthy_games,
    healthy_loops,
    healthy_more,
    healthy_tricky,
    ill_heads,
    ill_ends,
    ill_links,
    ill_registration,
    ill_loops,
    ill_steps,
    ill_numbers,
    ill_halves,
    ill_scales,
    ill_depth,
    ill_time,
    ill_units,
)
FIXED = "53739533604f80830351cab2f3649e64477c971541e0648ed585eb4722cfe915"
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
"""All of them, in any order."""
