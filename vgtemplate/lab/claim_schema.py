"""The JSON schema of a claim's file."""

from __future__ import annotations

from typing import Any

from vgtemplate.config.json_schema import experiment_schema
from vgtemplate.lab.claim import ClaimConfig


def claim_schema() -> dict[str, Any]:
    """Return the schema by which an editor completes and checks a claim."""
    return experiment_schema(ClaimConfig, "claim")
