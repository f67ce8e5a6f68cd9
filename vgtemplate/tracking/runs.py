"""One run in an MLflow store: begun before or after its training, completed from its record."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgtemplate.records import Record
from vgtemplate.tracking.networks import FindNetwork, log_network
from vgtemplate.tracking.outbox import Run
from vgtemplate.tracking.points import Point, record_points
from vgtemplate.tracking.words import sorting_tags, write_parameters, write_tags

_DIGEST_LENGTH = 12
_BATCH = 1000
# Left to itself the UI colours runs by chance, two of three in the same green; these are matplotlib's.
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
_SOURCE = {"mlflow.source.name": "vgt", "mlflow.source.type": "LOCAL"}


@dataclass(frozen=True)
class Extras:
    """What goes with a run beside its numbers; None: nothing."""

    draw: Callable[[Record, str], Mapping[str, bytes]] | None = None
    """Record and arm to pictures by file name."""
    network: FindNetwork | None = None


@dataclass(frozen=True)
class Begun:
    """A run of the store, and how far it is."""

    identifier: str
    is_new: bool
    is_finished: bool


def begin(
    client: Any,
    experiment: str,
    run: Run,
    look: tuple[str, int],
    start: int | None = None,
    parent: str | None = None,
) -> Begun:
    """Return the run that the store has, else a new one.

    Args:
        look: its name and the number of its colour.
        start: in milliseconds; None: now.
        parent: the run below which it is shown.
    """
    found, is_new = keep_one(client, experiment, run), False
    if found is None:
        name, colour = look
        tags = {"vgt.key": run.key, "vgt.arm": run.arm, "mlflow.runColor": _COLOURS[colour % len(_COLOURS)], **_SOURCE}
        if run.seed is not None:
            tags |= {"vgt.seed": str(run.seed), "mlflow.parentRunId": str(parent)}
            name = f"{name}, seed {run.seed}"
        created, is_new = client.create_run(experiment, start, tags, name), True
        found = keep_one(client, experiment, run) or created
    return Begun(str(found.info.run_id), is_new, is_finished=found.info.status == "FINISHED")


def keep_one(client: Any, experiment: str, run: Run) -> Any | None:
    """Return the run that the store has, None if it has none; of several that no one has finished, one is left.

    Where the answer to "create a run" is lost on its way, mlflow's client asks again, and the store has two.
    """
    query = f"tags.`vgt.key` = '{run.key}' and tags.`vgt.arm` = '{run.arm}'"
    seed = None if run.seed is None else str(run.seed)
    found = [each for each in client.search_runs([experiment], query) if each.data.tags.get("vgt.seed") == seed]
    # In an order that is the same for whoever else looks just now.
    found.sort(key=lambda each: (each.info.status != "FINISHED", each.info.start_time, each.info.run_id))
    for double in found[1:]:
        if double.info.status != "FINISHED":
            client.delete_run(double.info.run_id)
    return found[0] if found else None


def log_settings(client: Any, identifier: str, configuration: Mapping[str, Any], seeds: tuple[int, ...]) -> None:
    """Log an arm's settings as parameters, and tags to sort by."""
    from mlflow.entities import Param, RunTag

    params = [Param(name, text) for name, text in write_parameters(configuration, seeds).items()]
    tags = [RunTag(name, text) for name, text in sorting_tags(configuration, seeds).items()]
    for first in range(0, max(len(params), 1), 100):
        client.log_batch(identifier, params=params[first : first + 100], tags=tags if not first else [])


def log_points(client: Any, identifier: str, points: list[Point], milliseconds: int) -> None:
    """Log points of curves, all of one time."""
    from mlflow.entities import Metric

    metrics = [Metric(point.name, point.value, milliseconds, point.step) for point in points]
    for first in range(0, len(metrics), _BATCH):
        client.log_batch(identifier, metrics[first : first + _BATCH])


def complete(
    client: Any, begun: Begun, record: Record, run: Run, folder: Path, pictures: Mapping[str, bytes], extras: Extras
) -> None:
    """Send all that the record has and the run lacks, and end the run at the record's own time."""
    from mlflow.entities import RunTag

    identifier, end = begun.identifier, record_end(folder)
    points, left_out = record_points(record)
    log_settings(client, identifier, record.configuration, record.seeds)
    known = set() if begun.is_new else _known(client, identifier)
    log_points(client, identifier, [point for point in points if (point.name, point.step) not in known], end)
    tags = write_tags(record, left_out)
    _add_dataset(client, identifier, record)
    if run.seed is None:
        _add_files(client, identifier, folder, pictures)
        tags |= log_network(client, identifier, extras.network, record, folder)
    client.log_batch(identifier, tags=[RunTag(name, text) for name, text in tags.items()])
    client.set_terminated(identifier, "FINISHED", end)


def record_end(folder: Path) -> int:
    """Return when a record was written, in milliseconds, so that it makes the same run whenever it is sent."""
    return int((folder / "record.json").stat().st_mtime * 1000)


def _known(client: Any, identifier: str) -> set[tuple[str, int]]:
    """Return which points of which curves a run has already."""
    names = client.get_run(identifier).data.metrics
    return {(name, point.step) for name in names for point in client.get_metric_history(identifier, name)}


def _add_dataset(client: Any, identifier: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if name := record.dataset.get("name"):
        digest = str(record.dataset.get("fingerprint", ""))[:_DIGEST_LENGTH]
        profile = json.dumps(dict(record.dataset), default=str)
        dataset = Dataset(str(name), digest, "local", json.dumps({"name": name}), profile=profile)
        tags = [InputTag("mlflow.data.context", "training")]
        client.log_inputs(identifier, [DatasetInput(dataset, tags)])


def _add_files(client: Any, identifier: str, folder: Path, pictures: Mapping[str, bytes]) -> None:
    for name in ("record.json", "series.npz"):
        client.log_artifact(identifier, str(folder / name))
    if pictures:
        with tempfile.TemporaryDirectory() as place:
            for name, picture in pictures.items():
                (Path(place) / name).write_bytes(picture)
            client.log_artifacts(identifier, place)
