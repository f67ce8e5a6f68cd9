"""What has to be run for which claim: every arm resolved, keyed, and run once however many claims share it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from vgtemplate.config.catalogue import check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import OWN_DATA, ArmConfig
from vgtemplate.data import files
from vgtemplate.jobs.job import Job, Keys, read_job, with_dataset
from vgtemplate.lab.catalogue import ARTICLES, CHECKS
from vgtemplate.lab.check_job import CheckJob, plan_check
from vgtemplate.lab.claim import ClaimConfig, Setting
from vgtemplate.lab.claims import resolve_claim
from vgtemplate.lab.cost import estimate_megabytes
from vgtemplate.lab.judge import LOOKS
from vgtemplate.lab.picks import Picks, as_patch, picked_settings, read_picks
from vgtemplate.text import describe_seeds

Task = Job | CheckJob
"""A job of either kind: what a worker runs."""
AnyTask = TypeVar("AnyTask", Job, Task)
_PART_MEGABYTES, _PART_SEEDS = 250.0, 20
"""Most memory that a later look's job may take for its layers, and most seeds, since each has images of its own too: so
two workers stay below 3 GB. Constants: keys must not depend on the machine."""


@dataclass(frozen=True)
class Plan:
    """What a reproduction needs: the claims, the jobs by key, which claim needs which of them, and the data set."""

    claims: Mapping[str, ClaimConfig]
    jobs: Mapping[str, Task]
    keys: Mapping[str, Mapping[str, str]]
    """Claim to arm to key; an exact claim has its check in the place of arms."""
    dataset: str
    seeds: tuple[int, ...]
    setting: Setting = "quick"
    failures: Mapping[str, str] = field(default_factory=dict)
    """Claim to why it cannot be run on this data set."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Claim to why it is not run here, which is no failure: a library that nobody has to have is missing."""
    later: Mapping[str, Mapping[str, Sequence[Sequence[Job]]]] = field(default_factory=dict)
    """Claim to arm to the jobs of each further look, which have the seeds that the look adds; none unless the plan's
    seeds are those of the first look."""
    picks: Picks = field(default_factory=dict)
    """What was searched on the data set."""


def select_claims(
    claims: Mapping[str, ClaimConfig], ids: Sequence[str] = (), article: str | None = None, setting: Setting = "quick"
) -> dict[str, ClaimConfig]:
    """Return the claims asked for, all of the setting if nothing is asked, in their own order.

    Raises:
        UserError: an unknown id, or nothing is left.
    """
    for name in ids:
        check_name("claim", name, claims)
    if article is not None:
        check_name("article", article, ARTICLES)
    chosen = {
        name: claim
        for name, claim in claims.items()
        if (name in ids if ids else setting != "quick" or not claim.only_full)
        and (article is None or article in claim.articles)
    }
    if not chosen:
        raise UserError(f"none of the claims {', '.join(ids)} is made by the article {article}")
    return chosen


def choose_dataset(claims: Mapping[str, ClaimConfig], folder: Path, name: str, root: Path) -> str:
    """Return the data set that `name` stands for, fetched if it has to be; `own` for auto where no arm is left to it.

    Raises:
        UserError: it cannot be had.
    """
    arms = (arm for claim in claims.values() for arm in resolve_claim(folder / f"{claim.id}.yaml", claim).values())
    if name == "auto" and any(claim.arms for claim in claims.values()) and all(arm.data.factory for arm in arms):
        return OWN_DATA
    return files.resolve(name, root)


def _on_data(config: ArmConfig, dataset: str, cifar: Path | None) -> ArmConfig:
    """Return the arm on a data set, unless it names one of its own; `cifar`, a folder, takes CIFAR-10's place."""
    config = with_dataset(config, dataset)
    if config.data.dataset != "cifar10" or cifar is None:
        return config
    update = {"dataset": "image_folder", "path": str(cifar)}
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


def _missing_library(claim: ClaimConfig) -> str:
    """Return the library that a claim's check needs and that is not installed; "" if nothing is missing."""
    needed = CHECKS[claim.check].needs if claim.check is not None else ""
    return needed if needed and importlib.util.find_spec(needed) is None else ""


def _resolve(
    folder: Path,
    claim: ClaimConfig,
    overrides: Sequence[str],
    patches: Mapping[str, Mapping[str, Any]],
    setting: Setting,
) -> dict[str, ArmConfig]:
    """Return a claim's arms in a setting; UserError if the setting does not cover it."""
    if claim.only_full and setting == "quick":
        raise UserError(f"judged in the full setting only: `vgt reproduce {claim.id} --setting full`")
    return resolve_claim(folder / f"{claim.id}.yaml", claim, overrides, patches, setting)


def _later_looks(keys: Keys, claim: str, arm: str, config: ArmConfig, seeds: Sequence[int]) -> list[list[Job]]:
    """Return an arm's jobs for each look after the first; none unless `seeds` are ten in a row, as the first has."""
    if list(seeds) != list(range(seeds[0], seeds[0] + LOOKS[0].seeds)):
        return []
    looks, following = [], range(seeds[-1] + 1, seeds[-1] + 1 + LOOKS[-1].seeds)
    for before, look in pairwise(LOOKS):
        added = following[before.seeds - len(seeds) : look.seeds - len(seeds)]
        number = max(estimate_megabytes(config, len(added)) / _PART_MEGABYTES, len(added) / _PART_SEEDS)
        size = math.ceil(len(added) / math.ceil(number))
        parts = [added[start : start + size] for start in range(0, len(added), size)]
        looks.append([keys.job(claim, f"{arm} ({describe_seeds(part)})", config, part) for part in parts])
    return looks


def plan_claims(
    claims: Mapping[str, ClaimConfig],
    folder: Path,
    dataset: str,
    seeds: Sequence[int],
    root: Path,
    overrides: Sequence[str] = (),
    setting: Setting = "quick",
    cifar: Path | None = None,
) -> Plan:
    """Resolve every arm and give it its key; arms that several claims share are one job.

    A claim that cannot be run (its data set, its picks, the setting) has no jobs but a failure that says so.

    Args:
        folder: where their YAML files are.
        dataset: a data set's name, not auto.
        seeds: one per replica.
        root: the folder of the data sets.
        overrides: settings for every arm, as the texts of `--set`.
        setting: quick, full or short; all use the picks of the quick one.
        cifar: a folder of pictures to take in CIFAR-10's place.
    """
    keys, picks = Keys(root), read_picks(folder, dataset)
    planned: dict[str, list[Task]] = {}
    later: dict[str, dict[str, list[list[Job]]]] = {}
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name, claim in claims.items():
        if library := _missing_library(claim):
            planned[name], skipped[name] = [], f"needs {library}"
            continue
        planned[name] = [] if claim.check is None else [plan_check(claim.id, claim.check)]
        try:
            patches = {arm: as_patch(picked) for arm, picked in picked_settings(claim, picks, dataset).items()}
            resolved = _resolve(folder, claim, overrides, patches, setting)
            arms = {arm: _on_data(config, dataset, cifar) for arm, config in resolved.items()}
            for other in {config.data.dataset for config in arms.values()} - {dataset}:
                files.resolve(other, root)
            planned[name] += [keys.job(name, arm, config, seeds) for arm, config in arms.items()]
            later[name] = {arm: _later_looks(keys, name, arm, each, seeds) for arm, each in arms.items()}
        except UserError as error:
            failures[name] = str(error)
    jobs: dict[str, Task] = {}
    for task in (task for tasks in planned.values() for task in tasks):
        jobs.setdefault(task.key, task)
    wanted = {name: {task.name: task.key for task in tasks} for name, tasks in planned.items()}
    return Plan(claims, jobs, wanted, dataset, tuple(seeds), setting, failures, skipped, later, picks)


def only(plan: Plan, claims: Iterable[str]) -> Plan:
    """Return a plan of some of its claims."""
    chosen = {name: plan.claims[name] for name in claims}
    keys = {name: plan.keys[name] for name in chosen}
    wanted = {key for arms in keys.values() for key in arms.values()}
    return replace(plan, claims=chosen, jobs={key: job for key, job in plan.jobs.items() if key in wanted}, keys=keys)


def missing_tasks(tasks: Iterable[AnyTask], results: Path) -> list[AnyTask]:
    """Return the tasks that have no intact record."""
    return [task for task in tasks if read_job(results, task.key) is None]
