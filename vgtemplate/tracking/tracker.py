"""Sends records and descriptions to MLflow: one run per arm. This room is the only one that imports mlflow.

Write-only: no result is ever read back. Sending never raises and never hangs; what could not be sent stays noted in the
outbox for `vgt track sync`. A run that was begun, by a training or by a process that was killed, is gone on with.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vgtemplate.config.errors import UserError
from vgtemplate.config.extras import require
from vgtemplate.records import read_record, record_path
from vgtemplate.text import is_text
from vgtemplate.tracking import outbox
from vgtemplate.tracking.addresses import without_secrets
from vgtemplate.tracking.deadline import within
from vgtemplate.tracking.networks import register
from vgtemplate.tracking.outbox import Description, Parcel, Registration, Report, Run
from vgtemplate.tracking.points import Point
from vgtemplate.tracking.runs import Extras, begin, complete, keep_one, log_points, log_settings, record_end
from vgtemplate.tracking.view import VIEW_TAG, first_screen
from vgtemplate.tracking.words import describe_experiment

T = TypeVar("T")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}

ANSWER_SECONDS, SEND_SECONDS = 15.0, 120.0
"""How long a server may take to answer at all, and to take one run, description or report: MLflow's own time-out ends
with every byte that comes."""


def quiet_environment() -> None:
    """Set what mlflow reads from the environment (no telemetry, no chatter, short time-outs); set values stay."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def _connect(uri: str) -> Any:
    """Return a client of the store, once the store has answered."""
    require("mlflow")
    quiet_environment()
    from mlflow import MlflowClient

    # An error comes back as an exception and is said in one line; mlflow would log its traceback as well.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client = MlflowClient(uri, uri)
    _require_answer(client)
    return client


def _bounded(client: Any, seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; TimeoutError if a server takes longer. A database of one's own takes its time."""
    return within(seconds, work) if client.tracking_uri.startswith("http") else work()


def _require_answer(client: Any) -> None:
    """Raise what the store says if it cannot be reached."""
    _bounded(client, ANSWER_SECONDS, lambda: client.search_experiments(max_results=1))


def _create_database(database: Path) -> None:
    """Create an MLflow database, whole or not at all; only under the outbox's lock, since creations race."""
    staging = database.with_name(f".creating-{database.name}")
    staging.unlink(missing_ok=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    _connect(outbox.database_address(staging.absolute()))
    staging.replace(database)


class Tracker:
    """Sends to the store that MLFLOW_TRACKING_URI names, or to `results/mlflow.db`.

    Args:
        results: the folder of the records.
        extras: makes what goes with a run beside its numbers.
    """

    def __init__(self, results: Path, extras: Extras | None = None) -> None:
        self._results = results
        self._extras = extras or Extras()
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
                        deliver = partial(self._deliver, parcel)
                        outbox.mark_sent(self._results, parcel, _bounded(self._client, SEND_SECONDS, deliver))
        except UserError as error:
            return str(error)
        except Exception as error:  # whatever a store can do wrong must not stop the experiments
            return self._explain(error)
        return self.failure

    def _deliver(self, parcel: Parcel) -> str:
        """Send a parcel; return the identifier of its run or experiment."""
        if isinstance(parcel, Run):
            return self._send_run(parcel)
        if isinstance(parcel, Registration):
            return self._send_registration(parcel)
        return self._send_words(parcel) if isinstance(parcel, Description) else self._send_pages(parcel)

    def _explain(self, error: Exception) -> str:
        """Say in a line what went wrong, and find out whether the store or only this one run is to blame."""
        text = _reason(error, outbox.find_store(self._results).uri)
        try:
            _require_answer(self._client)
        except Exception:
            self.failure = f"MLflow at {outbox.find_store(self._results).place} cannot be reached: {text}"
            return self.failure
        return f"MLflow refuses: {text}"

    def _open(self) -> None:
        if self._client is not None:
            return
        store = outbox.find_store(self._results)
        if not is_text(store.uri):
            raise ValueError("a folder whose name is no UTF-8 can hold no database; set VGT_RESULTS_DIR to another")
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
        from mlflow.exceptions import MlflowException

        artifacts = outbox.find_store(self._results).artifacts
        try:
            experiment = str(self._client.create_experiment(name, artifacts.as_uri() if artifacts else None))
        except MlflowException as error:
            # Another machine was faster, or the answer was lost and mlflow's client has asked again.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = str(self._client.get_experiment_by_name(name).experiment_id)
        # The UI opens experiments of this kind on their training runs, not on traces of language models.
        self._client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
        self._client.set_experiment_tag(experiment, "mlflow.note.content", describe_experiment(None, experiment))
        self._client.set_experiment_tag(experiment, VIEW_TAG, first_screen([]))
        return experiment

    def _send_words(self, description: Description) -> str:
        experiment = self._experiment(description.experiment)
        tags = {f"vgt.{name}": text for name, text in description.tags.items()}
        tags["mlflow.note.content"] = describe_experiment(description, experiment)
        tags[VIEW_TAG] = first_screen(description.parameters)
        for name, text in tags.items():
            self._client.set_experiment_tag(experiment, name, text)
        if verdict := description.tags.get("verdict"):
            for run in outbox.runs_of(self._results, description.experiment):
                if (known := outbox.identifier(self._results, run)) is not None:
                    self._client.set_tag(known, "verdict", verdict)
        return experiment

    def _send_pages(self, report: Report) -> str:
        experiment = self._experiment(report.experiment)
        pages = outbox.report_pages(self._results)
        if outbox.find_report(self._results) != report:
            raise UserError(f"{self._results / 'report'}: the report has been written anew meanwhile")
        for found in self._client.search_runs([experiment], f"tags.`vgt.digest` = '{report.digest}'"):
            if found.info.status == "FINISHED":
                return str(found.info.run_id)
            self._client.delete_run(found.info.run_id)
        written = int(max(path.stat().st_mtime for path in pages) * 1000)
        tags = {"vgt.digest": report.digest, "mlflow.source.name": "vgt", "mlflow.source.type": "LOCAL"}
        identifier = str(self._client.create_run(experiment, written, tags, "report").info.run_id)
        for path in pages:
            self._client.log_artifact(identifier, str(path))
        self._client.set_terminated(identifier, "FINISHED", written)
        return identifier

    def open_run(self, run: Run, configuration: Mapping[str, Any], seeds: tuple[int, ...], start: int) -> str | None:
        """Show the run of an arm that is being trained, or goes on being trained; None if that cannot be.

        Args:
            start: when its training began, in milliseconds.
        """
        try:
            outbox.remember(self._results, run)
            with outbox.sending(self._results):
                self._open()
                open_it = partial(self._begin, run, configuration, seeds, start)
                return _bounded(self._client, SEND_SECONDS, open_it)
        except Exception as error:
            self.failure = self._explain(error)
            return None

    def _begin(self, run: Run, configuration: Mapping[str, Any], seeds: tuple[int, ...], start: int) -> str | None:
        experiment = self._experiment(run.experiment)
        begun = begin(self._client, experiment, run, outbox.look_of(self._results, run), start)
        if begun.is_finished:
            return None
        log_settings(self._client, begun.identifier, configuration, seeds)
        self._client.update_run(begun.identifier, "RUNNING")
        return begun.identifier

    def add_points(self, identifier: str, points: list[Point]) -> None:
        """Add points to the curves of a run that is being trained; what cannot be sent is left to its end."""
        with contextlib.suppress(Exception), outbox.sending(self._results):
            now = int(time.time() * 1000)
            _bounded(self._client, SEND_SECONDS, lambda: log_points(self._client, identifier, points, now))

    def stop_run(self, identifier: str) -> None:
        """Say that a run's training was stopped; whoever goes on with it goes on with the run."""
        with contextlib.suppress(Exception):
            _bounded(self._client, ANSWER_SECONDS, lambda: self._client.set_terminated(identifier, "KILLED"))

    def _send_run(self, run: Run) -> str:
        experiment = self._experiment(run.experiment)
        record = read_record(self._results, run.key)
        if record is None:
            outbox.forget(self._results, run)
            raise UserError(f"{record_path(self._results, run.key)}: there is no intact record")
        look = outbox.look_of(self._results, run)
        parent = None
        if run.seed is not None:
            parent = outbox.identifier(self._results, Run(run.experiment, run.arm, run.key))
            if parent is None:
                raise UserError(f"{run.experiment}: {run.arm}: its run has to be sent before those of its seeds")
            record = record.of_seeds([run.seed])
        folder = record_path(self._results, run.key)
        # Drawn beforehand, so that a record that cannot be drawn leaves no half run.
        pictures = self._extras.draw(record, run.arm) if self._extras.draw and run.seed is None else {}
        start = record_end(folder) - int(record.wall_seconds * 1000)
        begun = begin(self._client, experiment, run, look, start, parent)
        if not begun.is_finished:
            complete(self._client, begun, record, run, folder, pictures, self._extras)
            keep_one(self._client, experiment, run)  # a slow server may have made a second one only now
        return begun.identifier

    def _send_registration(self, registration: Registration) -> str:
        run = outbox.identifier(self._results, Run(registration.experiment, registration.arm, registration.key))
        if run is None:
            raise UserError(f"{registration.experiment}: {registration.arm}: its run has to be sent before its network")
        return register(self._client, registration, run)


def _reason(error: Exception, uri: str) -> str:
    """Return the gist of an exception in one line; of a failed connection, its innermost cause."""
    lines = without_secrets(str(error), uri).strip().splitlines() or [type(error).__name__]
    cause = re.search(r"Caused by .*(?:: |[(]['\"]|, ['\"])(.+?)['\"]\)*$", lines[0])
    return " ".join((cause[1] if cause else lines[0]).split())[:200]
