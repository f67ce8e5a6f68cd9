"""What is sent to a worker: a job in plain JSON, without a path or a word of the machine that asks."""

from __future__ import annotations

import json
from typing import NamedTuple

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.jobs.job import Job
from vgtemplate.lab.check_job import CheckJob
from vgtemplate.lab.plan import Task
from vgtemplate.lab.worker import How


class Order(NamedTuple):
    """A job, and how it is to be run."""

    task: Task
    accelerator: str
    fresh: bool
    threads: int


def write_order(task: Task, how: How, threads: int) -> str:
    """Return an order as text."""
    arm = {"config": task.config.model_dump(mode="json"), "seeds": task.seeds} if isinstance(task, Job) else None
    content = {
        **{"key": task.key, "name": task.name, "experiment": task.experiment, "arm": arm},
        **{"accelerator": how.accelerator, "fresh": how.fresh, "threads": threads},
    }
    return json.dumps(content)


def read_order(text: str) -> Order:
    """Return the order that a text holds; ValueError: it is none."""
    content = json.loads(text)
    names = content["key"], content["name"], content["experiment"]
    arm = content["arm"]
    task: Task = CheckJob(*names)
    if arm is not None:
        task = Job(*names, ArmConfig.model_validate(arm["config"]), tuple(arm["seeds"]))
    return Order(task, content["accelerator"], content["fresh"], content["threads"])


def data_of(task: Task) -> str | None:
    """Return which data a job is about, as text; None for an exact check, which needs none."""
    if not isinstance(task, Job):
        return None
    return task.config.data.model_dump_json(include={"dataset", "path", "factory", "settings"})


def require_sendable(task: Task) -> None:
    """Raise UserError for a job that names a folder of this machine."""
    if isinstance(task, Job) and task.config.data.path is not None:
        raise UserError(
            f"{task.experiment}: {task.name}: data.path names a folder of this machine ({task.config.data.path}), "
            "which a cluster has not; leave out --cluster, or use a data set that has a name"
        )
