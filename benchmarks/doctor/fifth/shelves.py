"""All of the fifth zoo's trainings, and the hash of their list."""

from __future__ import annotations

from types import ModuleType

from benchmarks.doctor.case import Case
from benchmarks.doctor.fifth import (
    healthy_agents,
    healthy_lessons,
    healthy_lights,
    healthy_loops,
    healthy_makers,
    healthy_pairs,
    healthy_pictures,
    healthy_rows,
    healthy_sentences,
    healthy_series,
    healthy_tuned,
    healthy_words,
    ill_depth,
    ill_flat,
    ill_halves,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_owners,
    ill_steps,
    ill_time,
)

SHELVES: tuple[ModuleType, ...] = (
    healthy_agents,
    healthy_lessons,
    healthy_lights,
    healthy_loops,
    healthy_makers,
    healthy_pairs,
    healthy_pictures,
    healthy_rows,
    healthy_sentences,
    healthy_series,
    healthy_tuned,
    healthy_words,
    ill_depth,
    ill_time,
    ill_flat,
    ill_heads,
    ill_links,
    ill_owners,
    ill_loops,
    ill_numbers,
    ill_halves,
    ill_steps,
)
FIXED = "fc38313ac793761a381eeff9964b761db4b44f4dfa8be4ec9a435fe8b42e9508"
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
"""All of them, in any order."""
