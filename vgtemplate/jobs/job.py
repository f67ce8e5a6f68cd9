"""What has to be run: arms with their keys; never how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vgtemplate.config.key import arm_key
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.sources import fingerprint
from vgtemplate.records import Record, read_record, record_path


@dataclass(frozen=True)
class Job:
    """One arm to be trained; `experiment` is the one that asked for it first, should several share it."""

    key: str
    name: str
    experiment: str
    config: ArmConfig
    seeds: tuple[int, ...]

    def __hash__(self) -> int:
        # Settings of one's own are mappings, which have no hash; the key is one of everything.
        return hash(self.key)


def with_dataset(config: ArmConfig, dataset: str) -> ArmConfig:
    """Return the arm on a data set, unless it names one of its own."""
    if config.data.dataset != "auto":
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"dataset": dataset})})


def read_job(results: Path, key: str) -> Record | None:
    """Read the record of a job, by its key; None if there is none that can be used.

    A record under this key that says of itself that it is another arm's, of other seeds or data, cannot be: the key is
    computed anew from what it says. The key of an exact check, which has no seeds, is its name's and its source's.
    """
    record = read_record(results, key)
    if record is None or not record.seeds:
        return record
    fingerprint = str(record.dataset.get("fingerprint", ""))
    return record if arm_key(record.configuration, record.seeds, fingerprint) == key else None


def is_unusable(results: Path, key: str) -> bool:
    """Say whether there is a record of a job that cannot be used: incomplete, altered, or another's."""
    return record_path(results, key).exists() and read_job(results, key) is None


class Keys:
    """Computes the keys of arms; each data set's fingerprint is taken once, since it reads the whole data set."""

    def __init__(self, root: Path) -> None:
        self._fingerprint = cache(lambda which: fingerprint(DataConfig.model_validate_json(which), root))

    def job(self, experiment: str, name: str, config: ArmConfig, seeds: Sequence[int]) -> Job:
        """Return the job of an arm whose data set is named."""
        found = self._fingerprint(config.data.model_dump_json(include={"dataset", "path", "factory", "settings"}))
        key = arm_key(config.model_dump(mode="json"), seeds, found)
        return Job(key, name, experiment, config, tuple(seeds))


def plan_arms(configs: Mapping[str, ArmConfig], seeds: Sequence[int], root: Path, experiment: str) -> list[Job]:
    """Return one job per arm; every arm's data set must be named."""
    keys = Keys(root)
    return [keys.job(experiment, arm, config, seeds) for arm, config in configs.items()]
