"""All of the third zoo's trainings, and the hash of their list."""

from __future__ import annotations

from benchmarks.doctor.case import Case
from benchmarks.doctor.third import healthy_generative, healthy_loops, healthy_losses, healthy_nets, healthy_sequences

SHELVES = (healthy_nets, healthy_sequences, healthy_losses, healthy_generative, healthy_loops)
FIXED = ""
"""What the second zoo's `digest` gave of these when the list was committed, before any doctor ran on it."""
CASES: tuple[Case, ...] = tuple(case for shelf in SHELVES for case in shelf.CASES)
