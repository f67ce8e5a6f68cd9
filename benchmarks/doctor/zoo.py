"""All cases, and which half each is in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from benchmarks.doctor import (
    healthy_dense,
    healthy_generative,
    healthy_lightning,
    healthy_loops,
    healthy_quirks,
    healthy_recurrent,
    healthy_text,
    healthy_timm,
    healthy_vision,
    ill_depth,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_steps,
    ill_time,
    public,
)
from benchmarks.doctor.case import Case
from benchmarks.doctor.fifth import shelves as fifth
from benchmarks.doctor.fourth import shelves as fourth
from benchmarks.doctor.second import shelves as second
from benchmarks.doctor.sixth import shelves as sixth
from benchmarks.doctor.third import shelves as third

SHELVES = (
    healthy_dense,
    healthy_vision,
    healthy_timm,
    healthy_text,
    healthy_recurrent,
    healthy_generative,
    healthy_lightning,
    healthy_loops,
    healthy_quirks,
    ill_depth,
    ill_heads,
    ill_links,
    ill_loops,
    ill_numbers,
    ill_steps,
    ill_time,
)
HALVES = ("calibration", "held-out")
SECOND = "second"
THIRD = "third"
FOURTH = "fourth"
FIFTH = "fifth"
SIXTH = "sixth"
_ZOOS = {SECOND: second, THIRD: third, FOURTH: fourth, FIFTH: fifth, SIXTH: sixth}
_LATER = {case.name: which for which, zoo in _ZOOS.items() for case in zoo.CASES}


def half(name: str) -> str:
    """Return the half that a case is in: the name of a later zoo, or by the first bit of its own name's SHA-256.

    All were fixed before anything ran.
    """
    return _LATER.get(name) or HALVES[hashlib.sha256(name.encode()).digest()[0] >> 7]


def cases(which: str | None = None, only: Iterable[str] = ()) -> list[Case]:
    """Return the cases of one half or of a later zoo, or all; only those whose name starts with one of `only`."""
    first = [*(case for shelf in SHELVES for case in shelf.CASES), *public.cases()]
    starts = tuple(only)
    return [
        case
        for case in [*first, *(case for zoo in _ZOOS.values() for case in zoo.CASES)]
        if (which is None or half(case.name) == which) and (not starts or case.name.startswith(starts))
    ]
