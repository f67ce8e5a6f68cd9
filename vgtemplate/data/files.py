"""Where data sets are kept, which of them can be had, and the fingerprint that identifies what would be trained on.

Plans are made with this file alone: it loads neither torch nor an image (an image folder's first fingerprint apart).
"""

from __future__ import annotations

import os
from pathlib import Path

from vgtemplate.config.catalogue import DATASETS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import DataConfig
from vgtemplate.data.checksums import FILES, FileState, exists, files_fingerprint, refusal, require_intact, verify
from vgtemplate.data.fetch import fetch
from vgtemplate.data.folder import folder_fingerprint
from vgtemplate.data.synthetic import synthetic_fingerprint

__all__ = ["FileState", "data_root", "fingerprint", "is_present", "resolve", "verify"]

AUTO_FIRST = "mnist"
AUTO_ELSE = "digits"


def data_root() -> Path:
    """Return the folder of the data sets: VGT_DATA_DIR, else `data`.

    Raises:
        UserError: it begins with the home folder of nobody.
    """
    return _home_in(os.environ.get("VGT_DATA_DIR") or "data", "VGT_DATA_DIR")


def _home_in(path: str, what: str) -> Path:
    """Replace a leading ~ or ~USER by the home folder that it stands for."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{what}: {path}: there is no such user's home folder") from None


def is_present(name: str, root: Path) -> bool:
    """Say whether every file of a data set is there, intact or not; True for one that needs no files."""
    check_name("data set", name, DATASETS)
    return all(exists(root / path) for file in FILES.get(name, ()) for path in file.kept_paths())


def resolve(name: str, root: Path, timeout_seconds: float = 5.0) -> str:
    """Return the data set that `name` stands for, fetched if it has to be.

    `auto` is mnist if that is there and intact, or can be fetched, else digits.

    Raises:
        UserError: a file is there but damaged (whatever `name`), or the data set asked for cannot be had.
    """
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
            return AUTO_ELSE
        raise
    return wanted


def folder_of(config: DataConfig) -> Path:
    """Return the folder of an image_folder's pictures."""
    return _home_in(str(config.path), "data.path")


def fingerprint(config: DataConfig, root: Path) -> str:
    """Return the hash that identifies a data set's exact images and labels; their files are verified first.

    Raises:
        UserError: a file is missing, truncated, altered or unverifiable; the message names it and says what to do.
    """
    name = resolve("auto", root) if config.dataset == "auto" else config.dataset
    if name == "image_folder":
        return folder_fingerprint(folder_of(config), root)
    if name == "synthetic":
        return synthetic_fingerprint()
    require_intact(name, root)
    return files_fingerprint(name, root)
