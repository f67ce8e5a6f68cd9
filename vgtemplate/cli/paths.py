"""Where commands keep what they make."""

from __future__ import annotations

import os
from pathlib import Path


def results_dir() -> Path:
    """Return the folder of records and tracking: VGT_RESULTS_DIR, else results/."""
    return Path(os.environ.get("VGT_RESULTS_DIR") or "results")
