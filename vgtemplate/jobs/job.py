"""What has to be run: arms with their keys; never how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vgtemplate.config.key import arm_key, hash_of
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.sources import fingerprint
from vgtemplate.jobs.schema import missing_series
from vgtemplate.records import Record, RecordError, open_record, record_path


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


class ForeignError(RecordError):
    """Why a record, intact as it may be, is not that of the key it lies under."""


def key_of(record: Record) -> str:
    """Return the key that a record's settings, seeds, data and code have; of an exact check, its name and source.

    The code is that which the record says it was made by: nothing of one's own is imported.

    Raises:
        ForeignError: it holds what no key is made of.
    """
    try:
        if not record.seeds:
            return hash_of({"check": record.configuration["check"], "source": record.code["source"]})
        fingerprint = str(record.dataset.get("fingerprint", ""))
        return arm_key(record.configuration, record.seeds, fingerprint, record.code)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ForeignError(f"no key can be computed from it ({type(error).__name__}: {error})") from None


def open_job(results: Path, key: str) -> Record:
    """Read the record of a job, by its key.

    Raises:
        RecordError: it is damaged or lacks a series.
        ForeignError: it is another's: of other settings, seeds, data or code.
        OSError: it cannot be read just now.
    """
    record = open_record(results, key)
    if (computed := key_of(record)) != key:
        raise ForeignError(f"what it says of itself has the key {computed}")
    if lacking := missing_series(record):
        raise RecordError(f"it lacks the series {lacking[0]}")
    return record


def read_job(results: Path, key: str) -> Record | None:
    """Read the record of a job as `open_job` does; None if there is none that can be used."""
    try:
        return open_job(results, key)
    except (OSError, RecordError):
        return None


def describe_fault(results: Path, key: str) -> str:
    """Say which record a job cannot use, and why, as `vgt records verify` does; "" if it can, or if there is none."""
    path, fault = record_path(results, key), ""
    try:
        if path.exists():
            open_job(results, key)
    except ForeignError as error:
        fault = f"foreign: {error}"
    except RecordError as error:
        fault = f"damaged: {error}"
    except OSError as error:
        fault = f"unreadable: {error.strerror}"
    return fault and f"{path}: {fault}; it is made anew"


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
