"""Where the claims are."""

from __future__ import annotations

import os
from pathlib import Path


def claims_dir() -> Path:
    """Return the folder of the claims: VGT_CLAIMS_DIR, else experiments/claims/."""
    return Path(os.environ.get("VGT_CLAIMS_DIR") or "experiments/claims")
