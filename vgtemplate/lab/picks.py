"""Keeps what `vgt tune` found, one file per data set beside the claims: every candidate's score and the pick.

A claim whose settings were searched is judged with the picks of its data set, so that no reproduction searches again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import merge
from vgtemplate.config.yaml import read_yaml
from vgtemplate.lab.claim import ClaimConfig, SearchConfig
from vgtemplate.lab.grid import Values, candidates_of, grid_of, is_widened_from
from vgtemplate.text import describe_seeds, write_number

_HEADER = """\
# Written by `vgt tune`, never by hand: what was searched on tuning seeds, and what was picked, on the data set {}.
# `median`, `lowest` and `highest` are the metric's over the seeds; null: not finite (a run that diverged).
"""


class Candidate(BaseModel):
    """One candidate and its score over the tuning seeds; None: not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    settings: Values
    median: float | None
    lowest: float | None
    highest: float | None


class Pick(BaseModel):
    """The outcome of one arm's search."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    date: str
    seeds: list[int]
    metric: str
    """What decided between the candidates."""
    trial: str
    """The arm that was searched."""
    factor: float = 1.0
    """What the arm is given is this times the picked candidate."""
    picked: Values
    candidates: list[Candidate]

    @property
    def candidate(self) -> Candidate:
        """The candidate that was picked, with its score."""
        return next(filter(self._is_picked, self.candidates))

    def _is_picked(self, candidate: Candidate) -> bool:
        same = (math.isclose(value * self.factor, self.picked[name]) for name, value in candidate.settings.items())
        return candidate.settings.keys() == self.picked.keys() and all(same)

    @model_validator(mode="after")
    def _a_candidate_was_picked(self) -> Pick:
        if not any(map(self._is_picked, self.candidates)):
            raise ValueError(f"{self.picked} is none of the candidates times {self.factor:g}")
        return self


Picks = dict[str, dict[str, Pick]]
"""Claim to arm to pick."""


def picks_path(folder: Path, dataset: str) -> Path:
    """Return the file of a data set's picks in a folder of experiments."""
    return folder / "picks" / f"{dataset}.yaml"


def read_picks(folder: Path, dataset: str) -> Picks:
    """Read a data set's picks, none if nothing was searched on it; raise UserError if the file is no file of picks."""
    path = picks_path(folder, dataset)
    if not path.exists():
        return {}
    try:
        return {
            claim: {arm: Pick.model_validate(pick) for arm, pick in arms.items()}
            for claim, arms in read_yaml(path).items()
        }
    except (ValidationError, AttributeError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, reason["loc"]))
        raise UserError(f"{path}: {where}: {reason['msg']}; `vgt tune` writes this file") from None


def write_picks(folder: Path, dataset: str, picks: Picks) -> Path:
    """Write picks over those of the same claims and arms, whole or not at all; UserError if the folder refuses."""
    path = picks_path(folder, dataset)
    merged = read_picks(folder, dataset)
    for claim, arms in picks.items():
        merged[claim] = merged.get(claim, {}) | arms
    content = {
        claim: {arm: pick.model_dump(mode="json") for arm, pick in sorted(arms.items())}
        for claim, arms in sorted(merged.items())
    }
    text = _HEADER.format(dataset) + yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None)
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def picked_settings(claim: ClaimConfig, picks: Picks, dataset: str) -> dict[str, Values]:
    """Return the picked settings of each searched arm of a claim.

    Raises:
        UserError: an arm was not searched on this data set, or its grid has changed since.
    """
    found: dict[str, Values] = {}
    for search in claim.search:
        for arm in search.arms:
            pick = picks.get(claim.id, {}).get(arm)
            remedy = f"run `vgt tune {claim.id} --dataset {dataset}`"
            if pick is None:
                raise UserError(f"{claim.id}: the settings of arm {arm!r} were not searched on {dataset} yet; {remedy}")
            if not _fits(search, pick):
                raise UserError(f"{claim.id}: the grid of arm {arm!r} has changed since its search; {remedy}")
            found[arm] = pick.picked
    return found


def _fits(search: SearchConfig, pick: Pick) -> bool:
    """Say whether a pick's candidates are those of the search's grid, widened or not; with `first` it never is."""
    tried = [candidate.settings for candidate in pick.candidates]
    if search.first is not None or any(settings.keys() != search.grid.keys() for settings in tried):
        return tried == candidates_of(search.grid)
    grid = grid_of(tried)
    return tried == candidates_of(grid) and is_widened_from(search.grid, grid)


def describe_pick(pick: Pick) -> str:
    """Say in a line what was picked, by what, and the metric's median and range over the tuning seeds.

    E.g. "optimiser.lr 0.1 (validation_loss 0.168 [0.164, 0.225], seeds 1000 to 1004)".
    """
    candidate = pick.candidate
    median, *ends = (
        "none" if value is None else write_number(value)
        for value in (candidate.median, candidate.lowest, candidate.highest)
    )
    picked = ", ".join(f"{name} {write_number(value)}" for name, value in pick.picked.items())
    share = "" if pick.factor == 1 else f", {write_number(pick.factor)} of {pick.trial}'s"
    return f"{picked}{share} ({pick.metric} {median} [{', '.join(ends)}], {describe_seeds(pick.seeds)})"


def describe_picks(picks: Mapping[str, Pick]) -> str:
    """Say in a line what the arms of a claim were given, those that were given the same together."""
    arms: dict[str, list[str]] = {}
    for arm, pick in picks.items():
        arms.setdefault(describe_pick(pick), []).append(arm)
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in arms.items())


def as_patch(settings: Mapping[str, float]) -> dict[str, Any]:
    """Turn {"optimiser.lr": 0.1} into {"optimiser": {"lr": 0.1}}; whole numbers are integers, as a width has to be."""
    patch: dict[str, Any] = {}
    for name, value in settings.items():
        nested: Any = int(value) if value == int(value) else value
        for key in reversed(name.split(".")):
            nested = {key: nested}
        patch = merge(patch, nested)
    return patch


def patches_of(path: Path, experiment: ExperimentConfig, resolve: Callable[[], str]) -> dict[str, dict[str, Any]]:
    """Return the picks of a claim's arms as settings; an experiment that is no claim has none.

    Args:
        path: the experiment's file.
        resolve: returns the data set; called only where something was searched.

    Raises:
        UserError: an arm was not searched on this data set, or an exact claim has no arms.
    """
    if not isinstance(experiment, ClaimConfig):
        return {}
    if not experiment.arms:
        raise UserError(f"{path}: an exact claim has nothing to train; use vgt reproduce {path.stem}")
    if not experiment.search:
        return {}
    dataset = resolve()
    picked = picked_settings(experiment, read_picks(path.parent, dataset), dataset)
    return {arm: as_patch(settings) for arm, settings in picked.items()}
