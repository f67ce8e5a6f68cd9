"""What one seed's training of a LightningModule leaves: kept while the others train, then joined to one record."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vgtemplate.atomic import write_whole
from vgtemplate.callbacks.archives import read_archive
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import SERIES, Record
from vgtemplate.stacking import concatenate
from vgtemplate.training.environment import versions

_DONE = "done.pt"


@dataclass(frozen=True)
class Outcome:
    """What one seed's training leaves; the series have one replica."""

    series: Mapping[str, Any]
    logged: Mapping[str, float]
    layers: list[str]
    mixing: list[str]
    weights: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: float


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Keep what a finished seed leaves, as tensors and plain data."""
    content = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    content["series"] = {name: torch.from_numpy(array) for name, array in outcome.series.items()}
    buffer = io.BytesIO()
    torch.save({"versions": versions(), "outcome": content}, buffer)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _DONE, buffer.getvalue())


def read_outcome(folder: Path) -> Outcome | None:
    """Return what a finished seed has left; None if it is not done, or other versions of the libraries did it."""
    try:
        found = read_archive(folder / _DONE)
        if found["versions"] != versions():
            return None
        content = dict(found["outcome"])
        content["series"] = {name: tensor.numpy() for name, tensor in content["series"].items()}
        return Outcome(**content)
    except Exception:  # which errors a damaged file leads to, torch does not say
        return None


def join_outcomes(
    name: str, config: ArmConfig, seeds: Sequence[int], dataset: Mapping[str, Any], outcomes: Sequence[Outcome]
) -> Record:
    """Return the record of all seeds; it lacks what depends on what all of them have learned: key, digest."""
    series: dict[str, Any] = {}
    for key in dict.fromkeys(key for outcome in outcomes for key in outcome.series):
        arrays = [outcome.series[key] for outcome in outcomes if key in outcome.series]
        if SERIES[key].axes[0] != "replica":
            series[key] = max(arrays, key=len)
        elif len(arrays) == len(outcomes):
            series[key] = concatenate(arrays)
    longest = max(outcomes, key=lambda outcome: len(outcome.layers))
    labels = {"layer": longest.layers, "mixing": longest.mixing}
    if names := sorted({key for outcome in outcomes for key in outcome.logged}):
        labels["logged"] = names
        series["logged"] = np.array([[outcome.logged.get(key, np.nan) for key in names] for outcome in outcomes])
    return Record(
        key="",
        name=name,
        configuration=config.model_dump(mode="json"),
        seeds=tuple(seeds),
        dataset=dataset,
        environment=_joined_environment(outcomes),
        wall_seconds=sum(outcome.seconds for outcome in outcomes),
        series=series,
        labels=labels,
    )


_MEMORY = "megabytes_a_replica"


def _joined_environment(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the last seed's environment; of all: mean speed, most memory, where they were taken up, what is unseen."""
    speeds = [outcome.environment["images_per_second"] for outcome in outcomes]
    parts = [part for outcome in outcomes for part in outcome.environment.get("parts", [])]
    joined = dict(outcomes[-1].environment) | {"images_per_second": sum(speeds) / len(speeds), "runs": len(outcomes)}
    # Only the first of several in one process makes it grow.
    if found := [value for outcome in outcomes if (value := outcome.environment.get(_MEMORY)) is not None]:
        joined[_MEMORY] = max(found)
    not_seen = list(dict.fromkeys(note for outcome in outcomes for note in outcome.environment.get("not_seen", [])))
    return joined | ({"parts": parts} if parts else {}) | ({"not_seen": not_seen} if not_seen else {})
