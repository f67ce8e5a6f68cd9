"""A new project: its name checked, its files rendered from `vgtemplate/project/`, written whole or not at all.

The same folder is a Copier template (`copier.yml`); both ways make the same files, and Copier can update both.
"""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import yaml
from jinja2 import Environment, StrictUndefined

from vgtemplate.cli.origin import Origin
from vgtemplate.config.errors import UserError

_TEMPLATE = Path(__file__).parents[1] / "project"
_SUFFIX = ".jinja"
_TAKEN = frozenset({"bases", "claims", "data", "experiments", "results", "tests"})
"""Folders of a project that its package would lie on."""


def name_package(project: str) -> str:
    """Return the name of a project's package: my-project has my_project.

    Raises:
        UserError: it cannot be a project's name, or the package would take the place of another.
    """
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?", project):
        raise UserError(
            f"{project!r} cannot be a project's name; allowed: letters, digits, - and _, the first a letter, the last "
            f"a letter or a digit, e.g. my-project"
        )
    package = project.lower().replace("-", "_")
    if keyword.iskeyword(package):
        reason = f"{package} is a word of Python's own"
    elif package in _TAKEN:
        reason = f"a project has a folder {package} already"
    elif package in sys.stdlib_module_names or ((spec := find_spec(package)) is not None and spec.origin is not None):
        reason = f"a package {package} is installed already"
    else:
        return package
    raise UserError(f"{project!r} cannot be a project's name: {reason}; choose another, e.g. my-{project.lower()}")


def render_project(project: str, package: str, origin: Origin) -> dict[str, str]:
    """Return the text of every file by its path in the project."""
    remembered = {"_commit": origin.commit, "_src_path": origin.repository}
    answers = {name: value for name, value in remembered.items() if value}
    answers |= {"project": project, "vgtemplate": origin.requirement}
    jinja = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    # As Copier's own.
    jinja.filters["to_nice_yaml"] = lambda value: yaml.safe_dump(value, indent=4, allow_unicode=True)
    known = {**answers, "package": package, "_copier_answers": answers}

    def render(text: str) -> str:
        return jinja.from_string(text).render(known)

    paths = sorted(_TEMPLATE.rglob(f"*{_SUFFIX}"))
    names = [path.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX) for path in paths]
    return {render(name): render(path.read_text("utf-8")) for name, path in zip(names, paths, strict=True)}


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write a project's files into a folder that is not there yet, or empty; raise UserError where that cannot be."""
    staging = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: is there already{' and not empty' if folder.is_dir() else ', and no folder'}")
        for name, text in files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        staging.replace(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
