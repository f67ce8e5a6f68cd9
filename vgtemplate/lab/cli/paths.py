"""Where the claims are."""

from __future__ import annotations

import os
from pathlib import Path

from vgtemplate.config.errors import UserError
from vgtemplate.config.shipped import is_installed, shipped_dir
from vgtemplate.config.yaml import read_yaml
from vgtemplate.lab.claims import is_claim

_PLACES = (Path("claims"), Path("experiments/claims"))
"""Of a project's own claims, in the working folder."""


def claims_dir() -> Path:
    """Return the folder of the claims: VGT_CLAIMS_DIR, else the working folder's, else those of the package."""
    if named := os.environ.get("VGT_CLAIMS_DIR"):
        return Path(named)
    return next(filter(_holds_claims, _PLACES), shipped_dir() / "claims")


def _holds_claims(folder: Path) -> bool:
    """Say whether a folder has a claim; one of other files, whatever they are, is not ours."""
    return any(is_claim(read_yaml(path)) for path in sorted(folder.glob("*.yaml")))


def require_own(folder: Path) -> None:
    """Raise UserError where picks would be written into the installed package."""
    if is_installed() and folder.resolve().is_relative_to(shipped_dir()):
        raise UserError(
            f"{folder}: picks are kept beside the claims, and these are the installed package's; take them along "
            f"first: cp -r {shipped_dir()} experiments"
        )
