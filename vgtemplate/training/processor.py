"""Which processor trains, and with which instructions: numbers differ from one to another in their last bits."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

_FEATURES = re.compile(r"avx|amx|fma|f16c|sse4|neon|asimd|sve|bf16|i8mm")
"""Instruction sets that libraries of linear algebra choose by."""


@cache
def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Mapping[str, Any]:
    """Return model, features, cores, torch's capability and its library of linear algebra, JSON-ready.

    Args:
        cpuinfo: where Linux says it; elsewhere the model is what Python's `platform` gives, and features are none.
    """
    told = _read(cpuinfo)
    flags = f"{told.get('flags', '')} {told.get('Features', '')}".split()
    return {
        "model": told.get("model name") or platform.processor() or platform.machine() or "unknown",
        "features": sorted({flag for flag in flags if _FEATURES.match(flag)}),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "blas": _blas(torch.__config__.show()),
    }


def _read(cpuinfo: Path) -> dict[str, str]:
    """Return what is said of the first core; nothing where there is no such file."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _blas(built: str) -> str:
    """Return the library of linear algebra, and of convolutions if it is said, that this torch was built with."""
    found = re.search(r"BLAS_INFO=(\w+)", built)
    versions = re.findall(r"(Math Kernel Library|MKL-DNN|OpenBLAS) (?:Version |v)?(\d[\w.]*)", built)
    return ", ".join([found[1] if found else "unknown", *(f"{name} {number}" for name, number in versions)])
