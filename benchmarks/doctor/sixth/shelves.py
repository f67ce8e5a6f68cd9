"""All of the sixth zoo's trainings, and the hash of their list."""

from __future__ import annotations

from types import ModuleType

from benchmarks.doctor.case import Case
from benchmarks.doctor.sixth import (
    healthy_a,
    healthy_b,
    healthy_c,
    healthy_d,
    healthy_e,
    healthy_f,
    healthy_g,
    healthy_h,
    ill_bounds,
    ill_halves,
    ill_heads,
    ill_kept,
    ill_links,
    ill_numbers,
    ill_owners,
    ill_signal,
    ill_steps,
    ill_time,
)

SHELVES: tuple[ModuleType, ...] = (
    healthy_a,
    healthy_b,
    healthy_c,
    healthy_d,
    healthy_e,
    healthy_f,
    healthy_g,
    healthy_h,
    ill_signal,
    ill_bounds,
    ill_time,
    ill_heads,
    ill_links,
    ill_owners,
    ill_kept,
    ill_numbers,
    ill_halves,
    ill_steps,
)
FIXED = "208b921e100ed320cfc21d10cc673459a24fce13ac675506f2cab4abd453bf0b"
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
"""All of them, in any order."""
