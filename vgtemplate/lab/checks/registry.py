"""What a check is written with; each file beside this one declares its own when it is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vgtemplate.lab.catalogue import CHECKS
from vgtemplate.records import Array

Check = Callable[[], Mapping[str, float | list[float]]]
FUNCTIONS: dict[str, Check] = {}
check = CHECKS.decorator(FUNCTIONS)


def load_check(name: str) -> Check:
    """Return the function of a check of the catalogue; loads torch."""
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        importlib.import_module(f"{__package__}.{file.stem}")
    return FUNCTIONS[name]


def largest_error(measured: Array, expected: Array) -> float:
    """Return the largest absolute difference."""
    return float(np.abs(measured - expected).max())
