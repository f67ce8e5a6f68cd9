"""Finds what a claim leaves open, on tuning seeds: which trials a search needs, and what comes out of them."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgtemplate import metrics
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.sources import load_images
from vgtemplate.jobs.job import Job, Keys, with_dataset
from vgtemplate.lab.claim import ClaimConfig, SearchConfig
from vgtemplate.lab.claims import resolve_claim
from vgtemplate.lab.picks import Candidate, Pick, Values, as_patch, candidates_of
from vgtemplate.lab.threshold import clears
from vgtemplate.records import Record

MOST_VALIDATION = 2_000
"""Most images held out for the validation loss; a sixth of the training split where that is less."""


@dataclass(frozen=True)
class Search:
    """The search of one arm of a claim: one job per candidate."""

    claim: str
    arm: str
    config: SearchConfig
    jobs: Sequence[Job]


def _trial(config: ArmConfig, metric: str, num_validation: int) -> ArmConfig:
    """Return an arm as a trial: its whole length, validated at its end, measured only where the metric needs it."""
    whole = {"stop_loss": None, "stop_accuracy": None, "evaluate": False, "evaluate_train": False}
    data, every = config.data, config.training.steps
    if metric == "validation_loss":
        data, every = data.model_copy(update={"num_validation": num_validation}), 0
    training, probes = config.training.model_copy(update=whole), config.probes.model_copy(update={"every": every})
    return config.model_copy(update={"data": data, "training": training, "probes": probes})


def _num_held_out(data: DataConfig, root: Path) -> int:
    """Return how many images of the training split are for validation; data of one's own may have some already."""
    if data.own is None:
        num_images = len(load_images(DataConfig(dataset=data.dataset, path=data.path), root).train_labels)
    else:
        # They load torch, as people's own code does.
        from vgtemplate.data.own import call_factory, is_datamodule
        from vgtemplate.data.prepare import split_length

        found = call_factory(data)
        if is_datamodule(found) or "validation" in found.splits:
            return 0
        num_images = split_length(found.splits["train"])
    return min(MOST_VALIDATION, num_images // 6)


def plan_searches(
    claims: Mapping[str, ClaimConfig], folder: Path, dataset: str, seeds: Sequence[int], root: Path
) -> list[Search]:
    """Return the searches of the claims that have any; equal trials of several claims have equal keys.

    Args:
        folder: where the claims' YAML files are.
        dataset: a data set's name, not auto.
        seeds: the tuning seeds.
    """
    keys = Keys(root)
    searches = []
    for name, claim in claims.items():
        for search in claim.search:
            for arm in [search.trial] if search.trial else search.arms:
                jobs = []
                for settings in candidates_of(search):
                    patches = {arm: as_patch(settings)}
                    config = resolve_claim(folder / f"{name}.yaml", claim, patches=patches)[arm]
                    config = with_dataset(config, dataset)
                    trial = _trial(config, search.metric, _num_held_out(config.data, root))
                    label = ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in settings.items())
                    jobs.append(keys.job(name, f"{arm} ({label})", trial, seeds))
                searches.append(Search(name, arm, search, jobs))
    return searches


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _score(settings: Values, values: Sequence[float]) -> Candidate:
    """Return a candidate's median and range over the seeds; a NaN counts as the worst."""
    known = [math.inf if math.isnan(value) else value for value in values]
    median, lowest, highest = (_number(value) for value in (statistics.median(known), min(known), max(known)))
    return Candidate(settings=settings, median=median, lowest=lowest, highest=highest)


def choose(search: SearchConfig, values: Sequence[Sequence[float]]) -> int:
    """Return the number of the picked candidate from each candidate's values over the seeds.

    With `first`: the first candidate whose every seed clears it. If there is none: the one whose median comes closest,
    among those of which no seed diverged. Without `first`: the one with the smallest median, NaN counting as infinite.
    """
    if search.first is None:
        medians = [float(np.median(np.nan_to_num(np.asarray(seeds), nan=np.inf, posinf=np.inf))) for seeds in values]
        return medians.index(min(medians))
    for index, seeds in enumerate(values):
        if all(clears(search.first, value) for value in seeds):
            return index
    sign = 1 if search.first.startswith("<") else -1
    scores = [sign * float(np.median(seeds)) if np.isfinite(seeds).all() else math.inf for seeds in values]
    return scores.index(min(scores))


def conclude(search: Search, records: Sequence[Record]) -> dict[str, Pick]:
    """Return the pick of every arm that the search is for, from its trials' records in the order of the candidates."""
    settings = candidates_of(search.config)
    values = [metrics.named(search.config.metric)(record).tolist() for record in records]
    pick = Pick(
        date=datetime.date.today().isoformat(),
        seeds=list(records[0].seeds),
        metric=search.config.metric,
        trial=search.arm,
        picked=settings[choose(search.config, values)],
        candidates=[_score(*pair) for pair in zip(settings, values, strict=True)],
    )
    if search.config.trial is None:
        return {search.arm: pick}
    return {arm: _times(pick, search.config.factors.get(arm, 1.0)) for arm in search.config.arms}


def _times(pick: Pick, factor: float) -> Pick:
    scaled = {name: float(f"{value * factor:.6g}") for name, value in pick.picked.items()}
    return pick.model_copy(update={"picked": scaled})
