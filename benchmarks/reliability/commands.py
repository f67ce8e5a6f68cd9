"""The commands that are disturbed: small, on the digits, in a folder of their own, with what they find there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.processes import Process
from vgtemplate.tracking.outbox import forget_store

ARMS = """
arms:
  plain:
    data: {dataset: digits, num_train: 200, num_validation: 40}
    model: {depth: 3, width: 16, norm: batch}
    training: {steps: 40, validate_every: 20}
    probes: {every: 10}
  residual:
    data: {dataset: digits, num_train: 200}
    model: {depth: 2, width: 16, residual: true, dropout: 0.1}
    training: {steps: 20}
    probes: {every: 10}
"""
CLAIM = {
    "id": "trains-a-while",
    "articles": ["causes-cures"],
    "statement": "Two networks train.",
    "kind": "training",
    "literature": "none",
    "arms": {
        name: {
            "data": {"num_train": 200},
            "model": {"depth": depth, "width": 16, "activation": "tanh"},
            "training": {"steps": 30},
            "probes": {"every": 10},
        }
        for name, depth in (("deep", 4), ("shallow", 2))
    },
    "parts": [{"metric": "test_accuracy", "arms": [name], "threshold": ">= 0"} for name in ("deep", "shallow")],
}
SEARCHED = CLAIM | {
    "id": "is-searched",
    "search": [{"arms": ["deep", "shallow"], "grid": {"optimiser.lr": [0.0001, 0.3, 100.0]}}],
}
NUMBERS = ("--dataset", "digits", "--seeds", "2")
TRAIN = ("train", "arms.yaml", "--seeds", "2")
REPRODUCE = ("reproduce", "trains-a-while", *NUMBERS, "--jobs", "2")


@dataclass(frozen=True)
class Command:
    """A command, and what is in its folder before it is called."""

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command in a folder of its own; a checkpoint twenty times a second."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VGT_", "MLFLOW_TRACKING"))}
    own = {"RESULTS": "results", "CLAIMS": "claims", "DATA": "data"}
    return (
        kept
        | {"VGT_CHECKPOINT_SECONDS": "0.05", "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}
        | {f"VGT_{name}_DIR": str(folder / place) for name, place in own.items()}
    )


def start(
    folder: Path, arguments: tuple[str, ...], anew: bool = False, more: Mapping[str, str] | None = None
) -> Process:
    """Start a command in a folder, with some more of an environment."""
    return Process(arguments, folder, environment(folder) | dict(more or {}), anew)


def _write(folder: Path) -> None:
    (folder / "arms.yaml").write_text(ARMS)
    (folder / "claims").mkdir()
    for claim in (CLAIM, SEARCHED):
        (folder / "claims" / f"{claim['id']}.yaml").write_text(json.dumps(claim))


def _with_database(folder: Path) -> None:
    """Have MLflow's database, which takes seconds to be made, and nothing in it."""
    _write(folder)
    _run(folder, *TRAIN, "--arm", "plain", "--set", "training.steps=1", "--set", "training.validate_every=null")


def _with_record(folder: Path) -> None:
    """Have a record of one arm, which must not change."""
    _write(folder)
    _run(folder, *TRAIN, "--arm", "plain", "--no-tracking")


def _with_records(folder: Path) -> None:
    """Have the records of all that is judged."""
    _write(folder)
    _run(folder, *REPRODUCE, "--no-tracking")


def _with_parcels(folder: Path) -> None:
    """Have records of which MLflow knows nothing yet, and a database in which there is another run."""
    _with_database(folder)
    results = folder / "results"
    shutil.copy(results / "mlflow.db", folder / "before.db")
    _run(folder, *TRAIN, "--arm", "residual")
    (folder / "before.db").replace(results / "mlflow.db")
    shutil.rmtree(results / "mlartifacts")
    forget_store(results)


def _run(folder: Path, *arguments: str) -> None:
    ended = start(folder, arguments).end()
    if ended.code != 0:
        raise RuntimeError(f"vgt {' '.join(arguments)}: exit code {ended.code}: {ended.errors}")


COMMANDS = {
    command.name: command
    for command in (
        Command("train", (*TRAIN, "--no-tracking"), _with_record),
        Command("train and send", TRAIN, _with_database),
        Command("reproduce", (*REPRODUCE, "--no-tracking"), _write),
        Command("reproduce and send", REPRODUCE, _with_database),
        Command("tune", ("tune", "is-searched", *NUMBERS, "--jobs", "2"), _write),
        Command("track sync", ("track", "sync"), _with_parcels),
        Command("report", ("report", *NUMBERS, "--no-tracking"), _with_records),
    )
}


def copy_folder(source: Path, target: Path) -> Path:
    """Lay a folder as it was prepared out anew."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target
