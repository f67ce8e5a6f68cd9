"""The experiments that come with the package: some to train, the bases that they share, and claims where there are."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from vgtemplate.config.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
_INSIDE = _PACKAGE / "experiments"
_PARTS = {"bases", "claims"}
"""Folders of what is no experiment to train."""


def is_installed() -> bool:
    """Say whether the experiments lie inside the package, as a wheel has them, rather than beside it."""
    return _INSIDE.is_dir()


def shipped_dir() -> Path:
    """Return the folder of the experiments: inside the installed package, or beside it in the repository."""
    return _INSIDE if is_installed() else _PACKAGE.parent / "experiments"


def shipped_names() -> list[str]:
    """Return what `find_experiment` knows without a file: the experiments' paths in their folder, without .yaml."""
    folder = shipped_dir()
    files = (file.relative_to(folder) for file in folder.rglob("*.yaml"))
    return sorted(file.with_suffix("").as_posix() for file in files if file.parts[0] not in _PARTS)


def find_experiment(path: Path) -> Path:
    """Return the file of an experiment: the path itself, or for a bare name the one that comes with the package.

    Raises:
        UserError: there is neither; the nearest name is said.
    """
    try:
        if path.exists():
            return path
    except (OSError, ValueError):
        return path  # reading it will say what is wrong
    names = shipped_names()
    if path.as_posix() in names:
        return shipped_dir() / f"{path}.yaml"
    raise UserError(f"{path}: no such file; {_nearest(path, names)}known by name: {', '.join(names) or 'none'}")


def _nearest(path: Path, names: list[str]) -> str:
    beside = {file.stem: str(file) for file in path.parent.glob("*.yaml")}
    known = {Path(name).name: name for name in names} | beside
    near = get_close_matches(path.name.removesuffix(".yaml"), known, n=1, cutoff=0.5)
    return f"did you mean {known[near[0]]}? " if near else ""
