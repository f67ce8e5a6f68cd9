"""What was sent to which MLflow store, kept beside the records, so that everything is sent once and nothing twice.

One small file per run (`results/tracking/EXPERIMENT/ARM--KEY.json`, of one seed of it `...--seed_3.json`), per
registered model, per experiment's description (`.../experiment.json`) and one for the report (`report/report.json`),
written before anything is sent. Never imports mlflow: "is there anything to send?" is a matter of looking up files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from filelock import Timeout

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_input
from vgtemplate.locking import acquire, release
from vgtemplate.records import record_path
from vgtemplate.tracking.addresses import public
from vgtemplate.tracking.view import link_to_table

LOCK_SECONDS = 60.0
"""How long one process waits for another that is sending."""
_DESCRIPTION = "experiment.json"
_REPORT = "report.json"
_DEFAULT = "default"
_MOST_BYTES = 10_000_000
"""Of what is noted of a parcel."""
_MOST_OF_A_PAGE = 2**28


@dataclass(frozen=True)
class Run:
    """A record in the place where MLflow shows it: an arm's run in the experiment of a claim."""

    experiment: str
    arm: str
    key: str
    seed: int | None = None
    """One seed of the arm, shown below the arm's run; None: the arm."""
    label: str = field(default="", compare=False)
    """The run's name: the arm and what was overridden; empty: the arm's."""


@dataclass(frozen=True)
class Registration:
    """The network of an arm's run as a new version of the registered model `name`."""

    experiment: str
    arm: str
    key: str
    name: str


@dataclass(frozen=True)
class Description:
    """What is said of an experiment: its description and its tags."""

    experiment: str
    headline: str
    text: str = ""
    """Markdown, below the headline."""
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: list[str] = field(default_factory=list)
    """Names of the parameters in which its runs differ."""


@dataclass(frozen=True)
class Report:
    """The report's pages in just these words: a run in an experiment of its own."""

    digest: str
    experiment: str = "report"


Parcel = Run | Registration | Description | Report
"""What is sent."""
_ORDER = (Run, Registration, Description, Report)


@dataclass(frozen=True)
class Store:
    """An MLflow store: its address, the name it is remembered by, and where its artifacts go."""

    uri: str
    name: str
    """The address without credentials, fit for a file or a message; "default" for the one in the results folder."""
    artifacts: Path | None
    """Folder of the artifacts; None where the server decides."""
    database: Path | None
    """The SQLite file; None for any other store."""

    @property
    def is_server(self) -> bool:
        """Say whether the store is a server that somebody else runs."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def place(self) -> str:
        """Name the store for people."""
        return str(self.database) if self.name == _DEFAULT else self.name


def database_address(database: Path) -> str:
    """Return the address of an SQLite file, an absolute path.

    SQLAlchemy looks for options behind a question mark, and decodes what stands behind a percent sign. MLflow, which
    creates the folder of an address, does not; named with its driver it is left alone.
    """
    path = str(database)
    return f"sqlite+pysqlite:///{quote(path)}" if {"?", "%"} & set(path) else f"sqlite:///{path}"


def find_store(results: Path) -> Store:
    """Return the store that MLFLOW_TRACKING_URI names, else the SQLite database in the results folder."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    artifacts = (results / "mlartifacts").absolute()
    if not uri:
        database = (results / "mlflow.db").absolute()
        return Store(database_address(database), _DEFAULT, artifacts, database)
    file = Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None
    return Store(uri, public(uri), artifacts if "sql" in uri.split(":")[0] else None, file)


def _folder(results: Path, experiment: str) -> Path:
    return results / "tracking" / quote(experiment, safe="").replace(".", "%2E")


def report_pages(results: Path) -> list[Path]:
    """Return the report's pages in the results folder; none before it was written."""
    return sorted(path for path in (results / "report").glob("*.html") if path.is_file())


def find_report(results: Path) -> Report | None:
    """Return the report as it lies in the results folder; UserError: it cannot be read."""
    pages = [path.name.encode() + b"\0" + read_input(path, _MOST_OF_A_PAGE) for path in report_pages(results)]
    return Report(hashlib.sha256(b"\0".join(pages)).hexdigest()[:32]) if pages else None


def experiment_address(results: Path, experiment: str) -> str | None:
    """Return where a browser finds an experiment that the current store has; None for one that was never sent.

    A store that is not a server is looked at with `vgt ui`, at its usual address.
    """
    store = find_store(results)
    identifier = _read(_folder(results, experiment) / _DESCRIPTION)["sent"].get(store.name)
    base = store.name.rstrip("/") if store.is_server else "http://127.0.0.1:5000"
    return f"{base}/{link_to_table(str(identifier))}" if identifier else None


def newest_experiment(results: Path) -> str | None:
    """Return the experiment of which something was sent or noted last; None if there is none."""
    markers = [*(results / "tracking").glob("*/*--*.json")]
    newest = max(markers, key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else unquote(newest.parent.name)


def known_experiments(results: Path) -> list[str]:
    """Return the experiments of which there are runs."""
    return sorted({unquote(path.parent.name) for path in (results / "tracking").glob("*/*--*.json")})


def _path(results: Path, parcel: Parcel) -> Path:
    folder = _folder(results, parcel.experiment)
    if isinstance(parcel, Report):
        return folder / _REPORT
    if isinstance(parcel, Description):
        return folder / _DESCRIPTION
    names = [parcel.arm, parcel.key]
    if isinstance(parcel, Registration):
        names.append(f"as_{parcel.name}")
    elif parcel.seed is not None:
        names.append(f"seed_{parcel.seed}")
    return folder / f"{'--'.join(quote(name, safe='') for name in names)}.json"


def _read(path: Path) -> dict[str, Any]:
    """Read a marker; one that is missing or damaged says that nothing was sent."""
    try:
        marker = json.loads(read_input(path, _MOST_BYTES))
    except (UserError, ValueError, RecursionError):
        return {"sent": {}}
    return marker if isinstance(marker, dict) and isinstance(marker.get("sent"), dict) else {"sent": {}}


def _write(path: Path, marker: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(marker, indent=1))


def remember(results: Path, parcel: Parcel) -> None:
    """Note on disk that `parcel` is to be sent; a description or report that has changed is to be sent again."""
    path = _path(results, parcel)
    marker = _read(path)
    content = asdict(parcel)
    if isinstance(parcel, Run):
        content |= {"label": parcel.label or marker.get("label", "")}
        content |= {"colour": marker.get("colour", _next_colour(results, parcel))}
    if not path.exists() or {key: value for key, value in marker.items() if key != "sent"} != content:
        _write(path, {**content, "sent": marker["sent"] if isinstance(parcel, Run | Registration) else {}})


def _next_colour(results: Path, run: Run) -> int:
    """Return the number of a run's colour: that of the runs of its name, else the next that is free."""
    runs = [_read(path) for path in _folder(results, run.experiment).glob("*--*.json")]
    colours = {marker.get("label") or marker.get("arm"): marker["colour"] for marker in runs if "colour" in marker}
    return int(colours.get(run.label or run.arm, max(colours.values(), default=-1) + 1))


def look_of(results: Path, run: Run) -> tuple[str, int]:
    """Return a run's name and the number of its colour, which are the same whenever and wherever it is sent."""
    marker = _read(_path(results, run))
    return marker.get("label") or run.arm, int(marker.get("colour", 0))


def identifier(results: Path, parcel: Parcel) -> str | None:
    """Return by what the current store knows a parcel; None if it does not have it."""
    found = _read(_path(results, parcel))["sent"].get(find_store(results).name)
    return None if found is None else str(found)


def is_sent(results: Path, parcel: Parcel) -> bool:
    """Say whether the current store has `parcel` (a description or report: in just these words)."""
    store = find_store(results)
    if store.database is not None and not store.database.exists():
        return False
    marker = _read(_path(results, parcel))
    same = isinstance(parcel, Run | Registration) or {**asdict(parcel), "sent": marker["sent"]} == marker
    return same and store.name in marker["sent"]


def mark_sent(results: Path, parcel: Parcel, identifier: str) -> None:
    """Note on disk that the current store has `parcel`, as the run or experiment `identifier`."""
    remember(results, parcel)
    path = _path(results, parcel)
    marker = _read(path)
    _write(path, {**marker, "sent": {**marker["sent"], find_store(results).name: identifier}})


def description_of(results: Path, experiment: str) -> Description | None:
    """Return what was said of an experiment last, sent or not."""
    content = {key: value for key, value in _read(_folder(results, experiment) / _DESCRIPTION).items() if key != "sent"}
    try:
        return Description(**content)
    except TypeError:
        return None


def runs_of(results: Path, experiment: str) -> list[Run]:
    """Return the arms' runs of an experiment that are known, sent or not."""
    parcels = (_parcel(path) for path in sorted(_folder(results, experiment).glob("*--*.json")))
    return [parcel for parcel in parcels if isinstance(parcel, Run) and parcel.seed is None]


def forget(results: Path, parcel: Parcel) -> None:
    """Drop what is known of `parcel`: it cannot be sent any more."""
    _path(results, parcel).unlink(missing_ok=True)


def forget_store(results: Path) -> None:
    """Note that the current store is new and has nothing."""
    name = find_store(results).name
    for path in (results / "tracking").glob("*/*.json"):
        marker = _read(path)
        if marker["sent"].pop(name, None) is not None:
            _write(path, marker)


def pending(results: Path, runs: Iterable[Run]) -> list[Run]:
    """Return those of `runs` that the current store does not have."""
    return [run for run in runs if not is_sent(results, run)]


def _parcel(path: Path) -> Run | Registration | None:
    """Return what a marker of a run or a registered model stands for; None if it is no such marker."""
    marker = _read(path)
    arm, _, key = path.stem.rpartition("--")
    experiment = unquote(path.parent.name)
    if "arm" not in marker:  # an earlier version's, which says nothing but its name
        return Run(experiment, unquote(arm), unquote(key)) if arm else None
    place = (experiment, str(marker["arm"]), str(marker.get("key")))
    if "name" in marker:
        return Registration(*place, str(marker["name"]))
    return Run(*place, marker.get("seed"), str(marker.get("label", "")))


def missed(results: Path) -> list[Parcel]:
    """Return what was to be sent and the current store does not have: runs, then what is said of them, the report.

    A run whose record is not there yet has not ended, so that nothing of it was missed.
    """
    parcels: list[Parcel] = []
    for path in sorted((results / "tracking").glob("*/*.json")):
        if path.name == _DESCRIPTION:
            if (description := description_of(results, unquote(path.parent.name))) is not None:
                parcels.append(description)
        elif path.name == _REPORT:
            if (report := find_report(results)) is not None:
                parcels.append(report)
        elif (parcel := _parcel(path)) is not None and record_path(results, parcel.key).exists():
            parcels.append(parcel)
    # A seed's run is shown below its arm's, which comes first.
    parcels.sort(key=lambda parcel: (_ORDER.index(type(parcel)), isinstance(parcel, Run) and parcel.seed is not None))
    return [parcel for parcel in parcels if not is_sent(results, parcel)]


@contextlib.contextmanager
def sending(results: Path) -> Iterator[None]:
    """Hold the only permission to send from this results folder; it ends with the process, however that ends.

    Raises:
        TimeoutError: another process has held it for LOCK_SECONDS.
    """
    folder = results / "tracking"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquire(folder / ".lock", LOCK_SECONDS)
    except Timeout:
        raise TimeoutError(f"another process has been sending for {LOCK_SECONDS:.0f} s") from None
    try:
        yield
    finally:
        release(lock)
