"""Runs a job in this process: under its lock, from its checkpoint if there is one, to its record on disk.

What trains is imported inside the functions, so that whoever finds all records does without torch.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vgtemplate.config.errors import UserError
from vgtemplate.config.key import code_of
from vgtemplate.jobs.job import Job, read_job
from vgtemplate.jobs.leftovers import checkpoint_path, drop_checkpoints, drop_leftovers
from vgtemplate.jobs.locks import hold
from vgtemplate.records import Record, write_record

if TYPE_CHECKING:
    from torch import nn

Tell = Callable[[int, Mapping[str, float]], object]


def checkpoint_seconds() -> float:
    """Return the seconds between two checkpoints: VGT_CHECKPOINT_SECONDS, else 30; UserError if that is no number."""
    text = os.environ.get("VGT_CHECKPOINT_SECONDS") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"VGT_CHECKPOINT_SECONDS: {text!r} is no number of seconds; allowed: 0 (every step) and more")
    return seconds


@functools.cache
def _import_training() -> None:
    """Import what trains, once, without Python's collector, and leave it out of what the collector looks through.

    Torch and Lightning make half a million objects that stay. To go through them again and again while they come takes
    an eighth of the import, and a quarter of a second at the end of every arm.
    """
    gc.disable()
    try:
        importlib.import_module("vgtemplate.training.run")
    finally:
        gc.enable()
    gc.freeze()
    # Unless they are freed at the exit, a library of torch's reports them as leaks.
    atexit.register(gc.unfreeze)


def _run_arm(
    job: Job, results: Path, root: Path, accelerator: str, strategy: str, progress: bool, tell: Tell | None
) -> tuple[Record, nn.Module]:
    _import_training()
    from vgtemplate.training.run import train_arm
    from vgtemplate.training.trainer import Checkpoints, Hardware

    hardware = Hardware(accelerator, strategy=strategy)
    checkpoints = Checkpoints(checkpoint_path(results, job.key), checkpoint_seconds())
    if checkpoints.folder.is_symlink():
        drop_checkpoints(results, job.key)
    return train_arm(job.name, job.config, job.seeds, root, hardware, progress, checkpoints, tell)


def run_job(
    job: Job,
    results: Path,
    root: Path,
    accelerator: str = "auto",
    fresh: bool = False,
    strategy: str = "auto",
    progress: bool = False,
    keeps_models: bool = False,
    tell: Tell | None = None,
) -> Record:
    """Run one job in this process, unless it has a record by now, and write its record.

    Args:
        results: the folder of the records.
        root: the folder of the data sets.
        fresh: run it even if it has a record; not if another process has just made one.
        keeps_models: write the trained networks beside the record.
        tell: takes the step and the newest values of the curves while they grow; None: nobody listens.

    Raises:
        UserError: it cannot be run, or its record cannot be written.
        Stopped: a signal asked for the end.
    """
    with hold(results, job.key) as waited:
        drop_leftovers(results, job.key)
        if (waited or not fresh) and (known := read_job(results, job.key)) is not None:
            drop_checkpoints(results, job.key)  # of a process that was killed when it had just written the record
            return known
        record, module = _run_arm(job, results, root, accelerator, strategy, progress, tell)
        record = replace(record, code=code_of(record.configuration))
        add = None
        if keeps_models:
            from vgtemplate.training.models import write_models

            add = functools.partial(write_models, record=record, module=module)
        write_record(results, record, add)
        drop_checkpoints(results, job.key)
    return record
