"""Whether a worker may take jobs: it must have our versions, our source and our data, or its numbers would differ."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_input
from vgtemplate.config.key import source_hash
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.checksums import files_of, locate
from vgtemplate.data.files import is_present
from vgtemplate.data.sources import fingerprint
from vgtemplate.lab.cluster.parcel import num_pieces, piece_of

_PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "scikit-learn")
_SOURCE = (
    *("config", "data", "nn", "measure.py", "stacking.py", "watching", "callbacks", "training", "jobs", "records.py"),
    *("lab/checks", "lab/check_job.py", "lab/cluster", "lab/worker.py"),
)
"""What decides the numbers, and what speaks to the other side."""
SOURCE = "the source of vgtemplate"
_MISSING = "missing"
_MOST_BYTES = 2**28
"""More than any file of a data set has."""


def describe_versions() -> dict[str, str]:
    """Return what has to be the same on both sides, without importing any of it."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: _version(name) for name in _PACKAGES}, SOURCE: source_hash(_SOURCE)[:12]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def introduce(data: Sequence[str], root: Path) -> dict[str, Any]:
    """Return what a worker says of itself: its versions, and the fingerprint of each data set, or why it has none.

    Args:
        data: which, as `data_of` writes them.
        root: the folder of the worker's data sets.
    """
    found: dict[str, tuple[str, str]] = {}
    for text in data:
        config = DataConfig.model_validate_json(text)
        try:
            if config.own is None and not is_present(config.dataset, root):
                found[text] = (_MISSING, str(root.absolute()))
            else:
                found[text] = ("", fingerprint(config, root))
        except UserError as error:
            found[text] = (str(error), "")
    return {"versions": describe_versions(), "data": found}


def refusal(theirs: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str | None:
    """Say in a few words why a worker may take no job; None if it may, but for data sets that it lacks."""
    for name, ours in describe_versions().items():
        if (other := theirs["versions"].get(name, "none")) != ours:
            return f"it has {name} {other}, and here it is {ours}"
    for text, ours in fingerprints.items():
        fault, other = theirs["data"][text]
        if fault and fault != _MISSING:
            return str(fault)
        if not fault and other != ours:
            return f"its data set {_name(text)} is another than the one here (fingerprint {other}, here {ours})"
    return None


def lacking(theirs: Mapping[str, Any]) -> dict[str, str]:
    """Return the data sets that a worker lacks, and the folder where it looked."""
    return {_name(text): where for text, (fault, where) in theirs["data"].items() if fault == _MISSING}


def _name(text: str) -> str:
    return DataConfig.model_validate_json(text).dataset


def data_pieces(name: str, root: Path) -> Iterable[tuple[str, int, int, bytes]]:
    """Yield the files of a data set as they lie here, in pieces: name, number of the piece, of how many, bytes."""
    for file in files_of(name):
        path, is_packed = locate(file, root)
        content, relative = read_input(path, _MOST_BYTES), file.path + ".gz" * is_packed
        total = num_pieces(len(content))
        for index in range(total):
            yield relative, index, total, piece_of(content, index)


def take_piece(parts: dict[str, list[bytes]], root: Path, piece: tuple[str, int, int, bytes], name: str) -> str | None:
    """Take a piece of a data set's file, and write the file with its last one; return why it cannot be written.

    Only files of the data set `name` are written; what they hold is verified before anything is trained on it.

    Args:
        parts: the pieces that came before, by file.
    """
    relative, index, total, content = piece
    if relative not in {file.path + end for file in files_of(name) for end in ("", ".gz")}:
        return f"{relative} is no file of {name}"
    parts.setdefault(relative, []).append(content)
    if index + 1 < total:
        return None
    whole = b"".join(parts.pop(relative))
    try:
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        write_whole(root / relative, whole)
    except OSError as error:
        return f"{root.absolute()} cannot be written ({error.strerror})"
    return None
