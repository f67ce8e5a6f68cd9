"""`vgt info`: what runs here, for a report of a fault; no names of people, no addresses, no secrets."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from vgtemplate.cli.columns import Column, make_table
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.cli.origin import find_origin
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.catalogue import DATASETS
from vgtemplate.data.files import data_root, is_present
from vgtemplate.limits import num_cores, total_memory

_LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "lightning", "mlflow", "numpy", "scipy", "pydantic", "click")
_COLUMNS = (Column("what"), Column("here", folds=True))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def info(as_json: bool) -> None:
    """Say which versions, machine and data are here: what a report of a fault should hold.

    Folders are written without your name, and a server of MLflow without its address.
    """
    found = describe()
    if as_json:
        print_json(found)
        return
    console = make_console()
    rows = [[escape(name), escape(_words(value))] for name, value in found.items()]
    console.print(make_table("", _COLUMNS, rows, console.width))


def describe() -> dict[str, Any]:
    """Return versions, machine, devices and data of this installation, JSON-ready."""
    results = results_dir()
    return {
        "vgtemplate": _version("vgtemplate"),
        "commit": find_origin().commit,
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": num_cores(),
        "memory": f"{total_memory() / 1e9:.0f} GB",
        "processor and devices": _devices(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not limited"),
        "data": {"folder": _without_home(data_root()), "there": [n for n in DATASETS if _is_there(n)]},
        "results": {"folder": _without_home(results), "records": len(list(results.glob("*/record.json")))},
        "MLflow": "a server" if os.environ.get("MLFLOW_TRACKING_URI") else "a file in the results folder",
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    try:
        import torch

        from vgtemplate.training.processor import describe_processor
    except ImportError:
        return ["torch is not there"]
    processor = describe_processor()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [f"{processor['model']}, {processor['capability']}, {processor['blas']}", *(gpus or ["no GPU"])]


def _is_there(name: str) -> bool:
    row = DATASETS[name]
    return row.fetchable and is_present(name, data_root())


def _without_home(path: Path) -> str:
    """Return a folder with ~ for the home folder, whose name is mostly its owner's."""
    try:
        return f"~/{path.resolve().relative_to(Path.home().resolve())}"
    except (RuntimeError, ValueError):
        return str(path)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
