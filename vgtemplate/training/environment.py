"""What a record says about where it was made: versions, commit, device, processor, threads."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from vgtemplate.config.extras import EXTRAS
from vgtemplate.lightning import pl
from vgtemplate.training.processor import describe_processor

_LIGHTNING = {"pytorch_lightning": "pytorch-lightning", "lightning.pytorch": "lightning"}[pl.__name__]
_PACKAGES = ("vgtemplate", "torch", _LIGHTNING, "torchvision", "torchmetrics", "numpy")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _commit() -> dict[str, Any]:
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide the numbers."""
    there = (package for package in _PACKAGES if package not in EXTRAS or find_spec(package))
    return {"python": platform.python_version(), **{package: version(package) for package in there}}


def describe_environment(device: torch.device, not_seen: Sequence[str] = ()) -> dict[str, Any]:
    """Return the environment of a run on `device`, JSON-ready; the commit is None outside a git checkout.

    Args:
        not_seen: what the probes could not see, and why; one line each.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "device": device.type,
        "device_name": name,
        "processor": dict(describe_processor()),
        "threads": torch.get_num_threads(),
        **_commit(),
        **({"not_seen": list(not_seen)} if not_seen else {}),
    }
