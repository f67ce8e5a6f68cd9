"""What this process may use of the machine: memory and cores, or what a container or a batch system grants of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_OWN, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_NAMES = {
    "memory.max": ("memory.current", "inactive_file"),
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file"),
}
"""A limit's file (Linux control groups, version 2 and 1): that of what is taken, and what can be given back of it."""


def total_memory() -> int:
    """Return the bytes that this process and those beside it may take together."""
    limits = [limit for limit, _ in _granted()]
    return int(min([psutil.virtual_memory().total, *limits]))


def free_memory() -> int:
    """Return the bytes that can still be taken, without swap where a limit is set."""
    left = [max(0, limit - taken) for limit, taken in _granted()]
    return int(min([psutil.virtual_memory().available + psutil.swap_memory().free, *left]))


def num_cores() -> int:
    """Return the number of processor cores that this process may use, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(share) for share in _shares_of_time())]))


def _shares_of_time() -> Iterator[float]:
    """Yield how many cores' time each control group that this process is in has at most."""
    for folder in _folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.strip().isdecimal() and period.strip().isdecimal() and int(period):
            yield int(quota) / int(period)


def _granted() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that this process is in, and what its processes have taken."""
    for folder in _folders("memory"):
        for name, (taken, spare) in _NAMES.items():
            limit = _number(folder / name)
            # Version 1 has a number beyond all memory where there is no limit.
            if limit is not None and limit < psutil.virtual_memory().total:
                yield limit, max(0, (_number(folder / taken) or 0) - _entry(folder / "memory.stat", spare))


def _folders(kind: str) -> Iterator[Path]:
    """Yield the folders of this process's groups of a kind, from the innermost one out; limits of all of them hold."""
    for line in _read(_OWN).splitlines():
        kinds, _, path = line.partition(":")[2].partition(":")
        if not kinds or kind in kinds.split(","):
            # Version 1 has a tree per kind, under the kind's own name too where several share one.
            mount = _MOUNT / kind if kinds else _MOUNT
            # In a container the outer part of the path may not be there, and its own group is the root.
            inside = mount / path.strip("/")
            yield from (folder for folder in (inside, *inside.parents) if folder == mount or mount in folder.parents)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _entry(path: Path, name: str) -> int:
    words = dict(line.split() for line in _read(path).splitlines() if len(line.split()) == 2)
    return int(words.get(name, "0"))
