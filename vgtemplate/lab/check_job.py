"""An exact check as a job: a function without seeds, and the record of what it measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgtemplate.config.key import hash_of, source_hash
from vgtemplate.jobs.job import read_job
from vgtemplate.jobs.leftovers import drop_leftovers
from vgtemplate.jobs.locks import hold
from vgtemplate.lab.catalogue import CHECKS
from vgtemplate.lab.checks.registry import load_check
from vgtemplate.records import Record, write_record

_DECIDING = ("config/seeding.py", "nn", "lab/checks")
"""The source that decides a check's numbers."""


@dataclass(frozen=True)
class CheckJob:
    """One exact check to be made; `experiment` is the claim that asked for it first, should several share it."""

    key: str
    name: str
    experiment: str


def _source_of(check: str) -> str:
    row = CHECKS.get(check)
    return source_hash((*_DECIDING, *(row.also.split() if row is not None else ())))


def plan_check(claim: str, check: str) -> CheckJob:
    """Return the job of a check that a claim asks for."""
    return CheckJob(hash_of({"check": check, "source": _source_of(check)}), check, claim)


def run_check(job: CheckJob, results: Path, fresh: bool = False) -> Record:
    """Make a check in this process, unless it has a record by now, and write its record.

    Raises:
        UserError: the record cannot be written.
    """
    with hold(results, job.key) as waited:
        drop_leftovers(results, job.key)
        if (waited or not fresh) and (known := read_job(results, job.key)) is not None:
            return known
        started = time.perf_counter()
        quantities = load_check(job.name)()
        record = Record(
            key=job.key,
            name=job.name,
            configuration={"check": job.name},
            seeds=(),
            dataset={},
            environment={},
            wall_seconds=time.perf_counter() - started,
            series={"quantities": np.array([np.atleast_1d(values) for values in quantities.values()], np.float64)},
            labels={"quantity": list(quantities)},
            code={"source": _source_of(job.name)},
        )
        write_record(results, record)
    return record
