"""Sends records and descriptions to MLflow: one run per arm. The only place that imports mlflow.

Write-only: no result is ever read back. Sending never raises and never hangs; what could not be sent stays noted in the
outbox for `vgt track sync`. A run that was cut off in the middle is deleted and sent anew.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vgtemplate.config.errors import UserError
from vgtemplate.config.strict import MOST
from vgtemplate.records import Record, read_record, record_path
from vgtemplate.text import describe_seeds, flatten
from vgtemplate.tracking import outbox
from vgtemplate.tracking.outbox import Description, Parcel, Report, Run
from vgtemplate.tracking.points import record_points

Draw = Callable[[Record, str], Mapping[str, bytes]]
"""Record and arm to pictures by file name."""

_PARAM_LENGTH = 250
_TAG_LENGTH = 5000
_DIGEST_LENGTH = 12
_BATCH = 1000
_READING = (
    "The charts show medians over the seeds. In `by_layer/...` the axis called Step is the layer (1: nearest the "
    "input), at training step 0; in `by_layer_at_end/...` too, at the last step; everywhere else it is the training "
    "step."
)
# Left to itself the UI colours runs by chance, two of three in the same green; these are matplotlib's.
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


def quiet_environment() -> None:
    """Set what mlflow reads from the environment (no telemetry, no chatter, short time-outs); set values stay."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def _connect(uri: str) -> Any:
    """Return a client of the store, once the store has answered."""
    quiet_environment()
    from mlflow import MlflowClient

    # An error comes back as an exception and is said in one line; mlflow would log its traceback as well.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = MlflowClient(uri, uri)
    client.search_experiments(max_results=1)
    return client


def _create_database(database: Path) -> None:
    """Create an MLflow database, whole or not at all; only under the outbox's lock, since creations race."""
    staging = database.with_name(f".creating-{database.name}")
    staging.unlink(missing_ok=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    _connect(f"sqlite:///{staging.absolute()}")
    staging.replace(database)


class Tracker:
    """Sends to the store that MLFLOW_TRACKING_URI names, or to `results/mlflow.db`.

    Args:
        results: the folder of the records.
        draw: makes the pictures that go with a run; None: no pictures.
    """

    def __init__(self, results: Path, draw: Draw | None = None) -> None:
        self._results = results
        self._draw = draw
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self.failure: str | None = None
        """Why the store cannot be reached; set once, and nothing more is tried then."""

    def send(self, parcel: Parcel) -> str | None:
        """Send a parcel, unless the store has it (a description or report: in just these words).

        A record becomes a run, a description that of its experiment, and each distinct report a run with its pages.

        Returns:
            None if the store has the parcel now, else one line that says why not.
        """
        try:
            outbox.remember(self._results, parcel)
            if outbox.is_sent(self._results, parcel):
                return None
            if self.failure is None:
                with outbox.sending(self._results):
                    self._open()
                    if not outbox.is_sent(self._results, parcel):
                        outbox.mark_sent(self._results, parcel, self._deliver(parcel))
        except UserError as error:
            return str(error)
        except Exception as error:  # whatever a store can do wrong must not stop the experiments
            return self._explain(error)
        return self.failure

    def _deliver(self, parcel: Parcel) -> str:
        """Send a parcel; return the identifier of its run or experiment."""
        if isinstance(parcel, Run):
            return self._send_run(parcel)
        return self._send_words(parcel) if isinstance(parcel, Description) else self._send_pages(parcel)

    def _explain(self, error: Exception) -> str:
        """Say in a line what went wrong, and find out whether the store or only this one run is to blame."""
        text = _reason(error)
        try:
            self._client.search_experiments(max_results=1)
        except Exception:
            self.failure = f"MLflow at {outbox.find_store(self._results).place} cannot be reached: {text}"
            return self.failure
        return f"MLflow refuses: {text}"

    def _open(self) -> None:
        if self._client is not None:
            return
        store = outbox.find_store(self._results)
        if store.database is not None and not store.database.exists():
            outbox.forget_store(self._results)
            _create_database(store.database)
        self._client = _connect(store.uri)

    def _experiment(self, name: str) -> str:
        """Return the identifier of the experiment, created or restored if need be."""
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            self._experiments[name] = found.experiment_id if found else self._create_experiment(name)
            if found and found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
        return self._experiments[name]

    def _create_experiment(self, name: str) -> str:
        artifacts = outbox.find_store(self._results).artifacts
        experiment = str(self._client.create_experiment(name, artifacts.as_uri() if artifacts else None))
        # The UI opens experiments of this kind on their training runs, not on traces of language models.
        self._client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
        self._client.set_experiment_tag(experiment, "mlflow.note.content", _describe(None, experiment))
        return experiment

    def _send_words(self, description: Description) -> str:
        experiment = self._experiment(description.experiment)
        tags = {f"vgt.{name}": text for name, text in description.tags.items()}
        tags["mlflow.note.content"] = _describe(description, experiment)
        for name, text in tags.items():
            self._client.set_experiment_tag(experiment, name, text)
        return experiment

    def _find_finished(self, experiment: str, query: str) -> str | None:
        """Return the finished run that the store has already; one that was cut off is deleted."""
        for found in self._client.search_runs([experiment], query):
            if found.info.status == "FINISHED":
                return str(found.info.run_id)
            self._client.delete_run(found.info.run_id)
        return None

    def _send_pages(self, report: Report) -> str:
        experiment = self._experiment(report.experiment)
        pages = outbox.report_pages(self._results)
        if outbox.find_report(self._results) != report:
            raise UserError(f"{self._results / 'report'}: the report has been written anew meanwhile")
        if (known := self._find_finished(experiment, f"tags.`vgt.digest` = '{report.digest}'")) is not None:
            return known
        written = int(max(path.stat().st_mtime for path in pages) * 1000)
        tags = {"vgt.digest": report.digest, "mlflow.source.name": "vgt", "mlflow.source.type": "LOCAL"}
        identifier = str(self._client.create_run(experiment, written, tags, "report").info.run_id)
        for path in pages:
            self._client.log_artifact(identifier, str(path))
        self._client.set_terminated(identifier, "FINISHED", written)
        return identifier

    def _send_run(self, run: Run) -> str:
        experiment = self._experiment(run.experiment)
        query = f"tags.`vgt.key` = '{run.key}' and tags.`vgt.arm` = '{run.arm}'"
        if (known := self._find_finished(experiment, query)) is not None:
            return known
        record = read_record(self._results, run.key)
        if record is None:
            outbox.forget(self._results, run)
            raise UserError(f"{record_path(self._results, run.key)}: there is no intact record")
        return self._create_run(experiment, run, record)

    def _create_run(self, experiment: str, run: Run, record: Record) -> str:
        from mlflow.entities import Metric, Param, RunTag

        # The record's own time, so that the same record makes the same run whenever it is sent.
        end = int((record_path(self._results, run.key) / "record.json").stat().st_mtime * 1000)
        start = end - int(record.wall_seconds * 1000)
        points, left_out = record_points(record)
        pictures = self._draw(record, run.arm) if self._draw else {}
        colour = _COLOURS[outbox.count_sent(self._results, run.experiment) % len(_COLOURS)]
        tags = {"vgt.key": run.key, "vgt.arm": run.arm, "mlflow.runColor": colour}
        client = self._client
        identifier = str(client.create_run(experiment, start, tags, run.arm).info.run_id)
        params = [Param(name, text[:_PARAM_LENGTH]) for name, text in _parameters(record).items()]
        notes = [RunTag(name, text) for name, text in _tags(record, left_out).items()]
        for first in range(0, max(len(params), len(notes)), 100):
            client.log_batch(identifier, params=params[first : first + 100], tags=notes[first : first + 100])
        metrics = [Metric(point.name, point.value, end, point.step) for point in points]
        for first in range(0, len(metrics), _BATCH):
            client.log_batch(identifier, metrics[first : first + _BATCH])
        self._add_dataset(identifier, record)
        self._add_files(identifier, run, pictures)
        client.set_terminated(identifier, "FINISHED", end)
        return identifier

    def _add_dataset(self, identifier: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if name := record.dataset.get("name"):
            digest = str(record.dataset.get("fingerprint", ""))[:_DIGEST_LENGTH]
            profile = json.dumps(dict(record.dataset), default=str)
            dataset = Dataset(str(name), digest, "local", json.dumps({"name": name}), profile=profile)
            tags = [InputTag("mlflow.data.context", "training")]
            self._client.log_inputs(identifier, [DatasetInput(dataset, tags)])

    def _add_files(self, identifier: str, run: Run, pictures: Mapping[str, bytes]) -> None:
        for name in ("record.json", "series.npz"):
            self._client.log_artifact(identifier, str(record_path(self._results, run.key) / name))
        if pictures:
            with tempfile.TemporaryDirectory() as folder:
                for name, picture in pictures.items():
                    (Path(folder) / name).write_bytes(picture)
                self._client.log_artifacts(identifier, folder)


def _reason(error: Exception) -> str:
    """Return the gist of an exception in one line; of a failed connection, its innermost cause."""
    lines = outbox.hide_credentials(str(error)).strip().splitlines() or [type(error).__name__]
    cause = re.search(r"Caused by .*: (.+?)['\"]\)*$", lines[0])
    return " ".join((cause[1] if cause else lines[0]).split())[:200]


def _parameters(record: Record) -> dict[str, str]:
    # A setting of one's own may be named in marks that MLflow does not take.
    flat = flatten(record.configuration).items()
    settings = {
        re.sub(r"[^/\w.\- :]", "_", name, flags=re.ASCII): "all" if value == MOST else str(value)
        for name, value in flat
    }
    return settings | {"seeds": describe_seeds(record.seeds), "num_seeds": str(len(record.seeds))}


def _tags(record: Record, left_out: int) -> dict[str, str]:
    tags = {
        "mlflow.source.name": "vgt",
        "mlflow.source.type": "LOCAL",
        "vgt.dataset": str(record.dataset.get("name", "none")),
        "vgt.dataset_fingerprint": str(record.dataset.get("fingerprint", "none")),
    }
    tags |= {f"vgt.{name}": str(value) for name, value in flatten(record.environment).items() if name}
    if commit := record.environment.get("commit"):
        tags["mlflow.source.git.commit"] = str(commit)
    configuration, layers = record.configuration, record.labels.get("layer", [])
    if layers and ("module" in configuration or "factory" in configuration.get("model", {})):
        # What the numbers in the metrics' names stand for, in a network that the package does not know.
        tags["vgt.layers"] = ", ".join(f"{number} {name}" for number, name in enumerate(layers, 1))[:_TAG_LENGTH]
    if left_out:
        tags["vgt.values_left_out"] = f"{left_out} that are not finite, or zero where a logarithm is shown"
    return tags


def _describe(description: Description | None, experiment: str) -> str:
    """Return an experiment's text; the UI shows its first line, and the rest on request."""
    link = f"[compare the arms](#/experiments/{experiment}/runs?compareRunsMode=CHART&workflowType=machine_learning)"
    head = description.headline if description else "Trained by vgt"
    rest = f"{description.text}\n\n" if description else ""
    return f"{head} ({link})\n\n{rest}{_READING}\n"
