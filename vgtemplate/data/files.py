"""Where data sets are kept, and which of them can be had."""

from __future__ import annotations

import os
from pathlib import Path

from vgtemplate.config.catalogue import DATASETS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import OWN_DATA, DataConfig
from vgtemplate.data.checksums import exists, files_of, locate, refusal, verify
from vgtemplate.data.fetch import fetch

AUTO_FIRST = "mnist"


def data_root() -> Path:
    """Return the folder of the data sets: VGT_DATA_DIR, else `data`; UserError: it begins with nobody's home folder."""
    return home_in(os.environ.get("VGT_DATA_DIR") or "data", "VGT_DATA_DIR")


def home_in(path: str, what: str) -> Path:
    """Replace a leading ~ or ~USER by the home folder that it stands for."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{what}: {path}: there is no such user's home folder") from None


def is_present(name: str, root: Path) -> bool:
    """Say whether every file of a data set is there, intact or not; True for one that needs no files."""
    return all(exists(locate(file, root)[0]) for file in files_of(name))


def resolve(name: str, root: Path, timeout_seconds: float = 5.0) -> str:
    """Return the data set that `name` stands for, fetched if it has to be.

    `auto` is mnist if that is there and intact, or can be fetched, else digits; data of one's own need no files.

    Raises:
        UserError: a file is there but damaged (whatever `name`), or the data set asked for cannot be had.
    """
    if name == OWN_DATA:
        return name
    if name != "auto" and not DATASETS[check_name("data set", name, DATASETS)].fetchable:
        return name
    wanted = AUTO_FIRST if name == "auto" else name
    states = verify(wanted, root)
    for state in states:
        if state.state not in {"ok", "missing"}:
            raise refusal(wanted, state)
    if all(state.state == "ok" for state in states):
        return wanted
    try:
        fetch(wanted, root, timeout_seconds)
    except UserError:
        if name == "auto" and all(state.state == "missing" for state in states):
            return "digits"
        raise
    return wanted


def folder_of(config: DataConfig) -> Path:
    """Return the folder of an image_folder's pictures."""
    return home_in(str(config.path), "data.path")
