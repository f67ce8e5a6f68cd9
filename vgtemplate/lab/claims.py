"""Reads claims: a folder of YAML files, each resolved in the register's settings (quick, full, short)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, overlay, resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.yaml import read_yaml
from vgtemplate.lab.claim import ClaimConfig, Setting

_CLAIM_KEYS = ClaimConfig.model_fields.keys() - ExperimentConfig.model_fields.keys()
_KINDS = ("exact", "timing", "initial", "training")
"""In the order in which claims are listed."""


def is_claim(content: Mapping[str, Any]) -> bool:
    """Tell a claim, even one that lacks its statement or misspells it, from an experiment and from a base."""
    return not _CLAIM_KEYS.isdisjoint(content)


def load_claim(path: Path) -> ClaimConfig:
    """Read a claim and check every arm in every setting; raise UserError if anything of it is unusable."""
    claim = load_experiment(path, ClaimConfig)
    if claim.id != path.stem:
        raise UserError(f"{path}: id: {claim.id!r} must be the file's name, {path.stem!r}")
    if claim.full is not None:
        resolve_claim(path, claim, setting="full")
    if claim.short:
        resolve_claim(path, claim, setting="short")
    return claim


def load_claims(folder: Path) -> dict[str, ClaimConfig]:
    """Read every claim of a folder by kind (exact, timing, initial, training), then by name."""
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a folder cannot be looked at
        raise UserError(f"{folder}: no such folder of claims")
    claims = [load_claim(path) for path in sorted(folder.glob("*.yaml")) if is_claim(read_yaml(path))]
    return {claim.id: claim for claim in sorted(claims, key=lambda claim: (_KINDS.index(claim.kind), claim.id))}


def resolve_claim(
    path: Path,
    claim: ClaimConfig,
    overrides: Iterable[str] = (),
    patches: Mapping[str, Mapping[str, Any]] | None = None,
    setting: Setting = "quick",
) -> dict[str, ArmConfig]:
    """Return each arm's whole configuration in a setting: what the setting adds, then `patches`, then `overrides`.

    Raises:
        UserError: an unknown key or name, a value out of range, an unreadable override.
    """
    base, added, given = claim.base, {}, patches or {}
    if setting == "short":
        added = dict.fromkeys(claim.arms, claim.short)
    elif setting == "full" and claim.full is not None:
        base, added = claim.full.base or base, claim.full.arms
    joined = {arm: overlay(added.get(arm, {}), given.get(arm, {})) for arm in claim.arms}
    return resolve_arms(path, claim.model_copy(update={"base": base}), overrides, patches=joined)


def load_any(path: Path) -> ExperimentConfig:
    """Read a claim, or an experiment that is none; raise UserError if it cannot be used."""
    return load_claim(path) if is_claim(read_yaml(path)) else load_experiment(path, ExperimentConfig)
