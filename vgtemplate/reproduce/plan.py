"""What has to be run for which claim: every arm resolved, keyed, and run once however many claims share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from vgtemplate.config.catalogue import ARTICLES, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ClaimConfig, Setting
from vgtemplate.config.key import arm_key, check_key
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.config.picks import as_patch, picked_settings, read_picks
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data import files
from vgtemplate.records import read_record
from vgtemplate.reproduce.cost import estimate_megabytes, estimate_seconds


@dataclass(frozen=True)
class Job:
    """One thing to run, an arm or an exact check, with the claims that wait for it."""

    key: str
    name: str
    config: ArmConfig | None
    check: str | None
    seeds: tuple[int, ...]
    claims: tuple[str, ...]

    @property
    def cost(self) -> float:
        """Rough seconds on one core, so that long jobs start first and the time left can be told."""
        return estimate_seconds(self.config, len(self.seeds)) if self.config else 1.0

    @property
    def megabytes(self) -> float:
        """Rough memory of its tensors, so that no more jobs run at once than fit."""
        return estimate_megabytes(self.config, len(self.seeds)) if self.config else 0.0


@dataclass(frozen=True)
class Plan:
    """What a reproduction needs: the claims, each arm's job by claim, and the data set."""

    claims: Mapping[str, ClaimConfig]
    jobs: Mapping[str, Job]
    keys: Mapping[str, Mapping[str, str]]
    """Claim to arm to key; an exact claim's only arm is its check."""
    dataset: str
    seeds: tuple[int, ...]
    setting: Setting = "quick"
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why a claim cannot be run on this data set."""


def select_claims(
    claims: Mapping[str, ClaimConfig],
    ids: Sequence[str] = (),
    article: str | None = None,
    setting: Setting = "quick",
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


def with_dataset(config: ArmConfig, dataset: str, cifar: Path | None = None) -> ArmConfig:
    """Return the arm on a data set, unless it names one of its own; `cifar`, a folder, takes CIFAR-10's place."""
    update: dict[str, str]
    if config.data.dataset == "auto":
        update = {"dataset": dataset}
    elif config.data.dataset == "cifar10" and cifar is not None:
        update = {"dataset": "image_folder", "path": str(cifar)}
    else:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update=update)})


class Keys:
    """Computes the keys of arms; each data set's fingerprint is taken once, since it reads the whole data set."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fingerprint = cache(self._compute)

    def _compute(self, dataset: str, path: str | None) -> str:
        return files.fingerprint(DataConfig(dataset=dataset, path=path), self._root)

    def of(self, config: ArmConfig, seeds: Sequence[int]) -> str:
        """Return the key of an arm whose data set is named."""
        fingerprint = self._fingerprint(config.data.dataset, config.data.path)
        return arm_key(config.model_dump(mode="json"), seeds, fingerprint)


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

    A claim whose data set cannot be had, whose settings were not searched on it, or that the setting does not cover,
    has no jobs but a failure that says so.

    Args:
        claims: what to judge.
        folder: where their YAML files are.
        dataset: a data set's name, not auto.
        seeds: one a replica.
        root: the folder of the data sets.
        overrides: settings for every arm, as the texts of `--set`.
        setting: of the register; the picks are the quick setting's.
        cifar: a folder of pictures to take in CIFAR-10's place.
    """
    keys = Keys(root)
    jobs: dict[str, Job] = {}
    wanted: dict[str, dict[str, str]] = {}

    def add(claim: str, job: Job) -> None:
        known = jobs.get(job.key, job)
        jobs[job.key] = replace(known, claims=(*dict.fromkeys((*known.claims, claim)),))
        wanted[claim][job.name] = job.key

    picks, failures = read_picks(folder, dataset), {}
    for name, claim in claims.items():
        wanted[name] = {}
        if claim.check is not None:
            add(name, Job(check_key(claim.check), claim.check, None, claim.check, (), ()))
        if claim.only_full and setting == "quick":
            failures[name] = f"judged in the full setting only: `vgt reproduce {name} --setting full`"
            continue
        try:
            picked = picked_settings(claim, picks, dataset)
            patches = {arm: as_patch(settings) for arm, settings in picked.items()}
            arms = resolve_arms(folder / f"{name}.yaml", claim, overrides, patches=patches, setting=setting)
            chosen = {arm: with_dataset(config, dataset, cifar) for arm, config in arms.items()}
            for other in {config.data.dataset for config in chosen.values()} - {dataset}:
                files.resolve(other, root)
            planned = [
                Job(keys.of(config, seeds), arm, config, None, tuple(seeds), ()) for arm, config in chosen.items()
            ]
        except UserError as error:
            failures[name] = str(error)
            continue
        for job in planned:
            add(name, job)
    return Plan(claims, jobs, wanted, dataset, tuple(seeds), setting, failures)


def plan_arms(configs: Mapping[str, ArmConfig], seeds: Sequence[int], root: Path, experiment: str) -> list[Job]:
    """Return one job an arm, for `vgt train`; every arm's data set must be named."""
    keys = Keys(root)
    return [
        Job(keys.of(config, seeds), arm, config, None, tuple(seeds), (experiment,)) for arm, config in configs.items()
    ]


LEARNING_SPEED = "learning-speed"
"""The experiment that is no claim: the report's gallery draws its arms."""


def plan_gallery(plan: Plan, folder: Path, root: Path) -> list[Job]:
    """Return the arms that the report draws beside the claims, on the plan's data and seeds; none without the file."""
    path = folder / f"{LEARNING_SPEED}.yaml"
    if not path.exists():
        return []
    arms = resolve_arms(path, load_experiment(path))
    configs = {name: with_dataset(config, plan.dataset) for name, config in arms.items()}
    return plan_arms(configs, plan.seeds, root, LEARNING_SPEED)


def missing_jobs(jobs: Iterable[Job], results: Path) -> list[Job]:
    """Return the jobs that have no intact record."""
    return [job for job in jobs if read_record(results, job.key) is None]
