"""What decides the numbers of people's own code: its source, as a hash, or the version of a library."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vgtemplate.config.inputs import read_input
from vgtemplate.config.own import find, is_library

_MOST_BYTES = 2**26
"""More than any source has."""


def source_of(text: str) -> str:
    """Return what stands in a key for the code behind `module:name`.

    Of a library: its name and version. Of one's own code: the hash of the file and of all files that it imports from
    the same folder; of a package there: of all its files.

    Raises:
        UserError: there is no such code, or its source cannot be read.
    """
    find("factory", text)
    module, _, _ = text.partition(":")
    top = module.partition(".")[0]
    file = getattr(sys.modules[top], "__file__", None)
    if file is None and (paths := list(getattr(sys.modules[top], "__path__", []))):
        file = f"{paths[0]}/__init__.py"
    if file is None or is_library(Path(file)):
        return _version(top)
    path = Path(file)
    return _hash(path.parents[1] if path.name == "__init__.py" else path.parent, top)


@cache
def _version(top: str) -> str:
    names = importlib.metadata.packages_distributions().get(top)
    return f"{names[0]} {importlib.metadata.version(names[0])}" if names else f"python {platform.python_version()}"


def _files(root: Path, name: str) -> list[Path]:
    """Return the files of a module or package in a folder; none if it is not there, or is this package (key.py)."""
    if name == __name__.partition(".")[0]:
        return []
    package = root / name
    if package.is_dir():
        return sorted(file for file in package.rglob("*.py") if file.is_file())
    return [file] if (file := root / f"{name}.py").is_file() else []


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every statement below a node; an import is never part of an expression, of which most of a source is."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)


def _imported(content: bytes) -> Iterator[str]:
    """Yield the top names of all modules that a source imports, wherever in it the statement stands."""
    try:
        tree = ast.parse(content)
    except SyntaxError:  # a file of the package that is never imported
        return
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def _hash(root: Path, name: str) -> str:
    # Once per process: what has been imported stays as it was, whatever is written into the file since.
    seen: dict[Path, bytes] = {}
    names, waiting = {name}, _files(root, name)
    while waiting:
        file = waiting.pop()
        seen[file] = read_input(file, _MOST_BYTES)
        new = set(_imported(seen[file])) - names
        names |= new
        waiting += [each for found in new for each in _files(root, found)]
    digest = hashlib.sha256()
    for file in sorted(seen):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + seen[file] + b"\0")
    return digest.hexdigest()
