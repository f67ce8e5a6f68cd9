"""All of the third zoo's trainings, and the hash of their list."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.third import (
    healthy_agents,
    healthy_generative,
    healthy_loops,
    healthy_losses,
    healthy_nets,
    healthy_sequences,
    healthy_tuned,
    ill_depth,
    ill_halves,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_steps,
    ill_time,
)

SHELVES = (
    healthy_nets,
    healthy_sequences,
    healthy_losses,
    healthy_agents,
    healthy_generative,
    healthy_loops,
    healthy_tuned,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_halves,
    ill_depth,
    ill_time,
    ill_steps,
)
FIXED = "b9425aa3894999a430650ee093831ff79a2e9ab2629d8ad62f56651521d44963"
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
