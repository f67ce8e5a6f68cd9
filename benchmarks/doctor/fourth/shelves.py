"""All of the fourth zoo's trainings, and the hash of their list."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.fourth import (
    healthy_games,
    healthy_hub,
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
    healthy_hub,
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
FIXED = "3c893e7b2cb14b708b98583cdc6596af6eccce9b58a6bf2d3f424097a42868d3"
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
"""All of them, in any order."""
