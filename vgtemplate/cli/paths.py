"""The folders a command works in, each from its environment variable or beside the current folder."""

from __future__ import annotations

import os
from pathlib import Path


def results_dir() -> Path:
    """Return the folder of records and tracking: VGT_RESULTS_DIR, else results/."""
    return Path(os.environ.get("VGT_RESULTS_DIR") or "results")


def experiments_dir() -> Path:
    """Return the folder of the claims: VGT_EXPERIMENTS_DIR, else experiments/."""
    return Path(os.environ.get("VGT_EXPERIMENTS_DIR") or "experiments")
