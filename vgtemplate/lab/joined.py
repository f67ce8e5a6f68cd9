"""The records of several sets of seeds as one: ten seeds, then twenty more, give a record of thirty.

A network's result does not depend on the seeds beside it but for rounding, so neither do the joined numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vgtemplate.jobs.job import read_job
from vgtemplate.lab.environments import join_environments
from vgtemplate.records import SERIES, Record
from vgtemplate.stacking import concatenate


def join_records(records: Sequence[Record]) -> Record:
    """Return one record of all seeds, in the order of the records; series without a replica axis are the longest's.

    Only series that every record has are kept. Where sets of seeds ended at different steps, the last places are NaN.

    Raises:
        ValueError: the records are of different settings, or share a seed.
    """
    first, seeds = records[0], tuple(seed for record in records for seed in record.seeds)
    if any(record.configuration != first.configuration for record in records) or len(set(seeds)) < len(seeds):
        raise ValueError(f"{first.name}: only records of the same settings and of different seeds can be joined")
    if len(records) == 1:
        return first
    series = {}
    for name in (name for name in first.series if all(name in record.series for record in records)):
        arrays = [record.series[name] for record in records]
        of_replicas = SERIES[name].axes[0] == "replica"
        series[name] = concatenate(arrays) if of_replicas else max(arrays, key=len)
    return replace(
        first,
        seeds=seeds,
        series=series,
        environment=join_environments(records),
        wall_seconds=sum(record.wall_seconds for record in records),
        weights_sha256="",
    )


def read_joined(results: Path, keys: Sequence[str]) -> Record | None:
    """Read the records of one arm's sets of seeds as one; None if one of them is missing or damaged."""
    records = [record for key in keys if (record := read_job(results, key)) is not None]
    return join_records(records) if records and len(records) == len(keys) else None
