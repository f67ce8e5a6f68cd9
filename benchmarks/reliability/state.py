"""What a results folder holds, in a form in which two are compared bit for bit."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from vgtemplate.records import read_record

_KEY = re.compile(r"[0-9a-f]{20}")
_CLOCK = re.compile("second|memory|megabyte")
"""In the names of what differs from run to run."""


def records(results: Path) -> dict[str, str]:
    """Return what each record's weights and series are, by key; "damaged" for one that cannot be read."""
    found = {}
    for folder in results.glob("*"):
        if folder.is_dir() and _KEY.fullmatch(folder.name):
            record = read_record(results, folder.name)
            series = hashlib.sha256((folder / "series.npz").read_bytes()).hexdigest() if record else ""
            found[folder.name] = "damaged" if record is None else f"{record.weights_sha256} {series}"
    return found


def parts(results: Path) -> dict[str, int]:
    """Return in how many parts each record was trained."""
    found = {}
    for path in results.glob("*/record.json"):
        found[path.parent.name] = max(1, len(json.loads(path.read_bytes())["environment"].get("parts", [])))
    return found


def checkpoints(results: Path) -> set[str]:
    """Return the keys of which there is a checkpoint of the training."""
    return {path.parent.name for path in results.glob(".checkpoints/*/training.ckpt")}


def scraps(results: Path) -> list[str]:
    """Return the files that were being written, and nobody has taken away."""
    kinds = (".writing-*", ".replaced-*", ".creating-*")
    return sorted(str(path.relative_to(results)) for kind in kinds for path in results.rglob(kind))


def picks(folder: Path) -> str:
    """Return the settings that were searched, without the day."""
    text = "".join(path.read_text() for path in sorted(folder.glob("claims/picks/*.yaml")))
    return "\n".join(line for line in text.splitlines() if "date" not in line)


def sent(results: Path) -> list[str]:
    """Return what MLflow's database shows: each run with its state, and its curves."""
    database = results / "mlflow.db"
    if not database.exists():
        return []
    question = """select e.name, r.name, r.status, r.run_uuid from runs r join experiments e
        on r.experiment_id = e.experiment_id where r.lifecycle_stage = 'active'"""
    points = "select key, step, value, is_nan from metrics where run_uuid = ? order by key, step"
    found = []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for *names, identifier in connection.execute(question).fetchall():
            rows = [row for row in connection.execute(points, (identifier,)) if not _CLOCK.search(row[0])]
            digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]
            found.append(" ".join([*map(str, names), f"{len(rows)} points", digest]))
    return sorted(found)


def outcome(folder: Path) -> dict[str, object]:
    """Return all that a command's result is compared by."""
    results = folder / "results"
    return {
        "records": records(results),
        "picks": picks(folder),
        "sent": sent(results),
        "report": (results / "report" / "index.html").exists(),
    }


def differences(folder: Path, expected: dict[str, object]) -> list[str]:
    """Say in what a command's result differs from what is expected of it."""
    found = outcome(folder)
    return [
        f"other {name}: {found[name]} instead of {value}" for name, value in expected.items() if found[name] != value
    ]
