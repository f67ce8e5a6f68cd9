"""Runs somebody's script as Python itself would, in this process: same arguments, same paths, same exit code."""

from __future__ import annotations

import ast
import importlib.util
import runpy
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from vgtemplate.cli.console import PYTHONS_WARNING
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_file

_MOST_BYTES = 2**26


class WhenImported(MetaPathFinder):
    """Calls something as soon as a library has been imported, by whomever; till then nothing is loaded for it."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name, self._then = name, then
        if name in sys.modules:
            then()
        else:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        self.forget()
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            execute = loader.exec_module

            def and_then(module: ModuleType) -> None:
                loader.exec_module = execute
                execute(module)
                self._then()

            loader.exec_module = and_then
        return spec

    def forget(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def check_target(target: str, is_module: bool) -> None:
    """Raise UserError unless there is such a script or module; it is not run."""
    if not is_module:
        path = Path(target)
        if not path.exists():
            raise UserError(f"{target}: no such file")
        if path.is_dir() and not (path / "__main__.py").is_file():
            raise UserError(f"{target}: is a folder without a __main__.py; name the script in it")
        if not path.is_dir() and not path.is_file():
            raise UserError(f"{target}: is no file")
        if path.is_file():
            _check_syntax(path)
        return
    _put_first(Path.cwd())
    try:
        spec = importlib.util.find_spec(target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{target}.__main__")
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"-m {target}: cannot be imported: {error}") from None
    if spec is None:
        raise UserError(f"-m {target}: no such module, or a package without a __main__")


def _check_syntax(path: Path) -> None:
    """Raise UserError for text that is no Python; what else a file may hold, as an archive, is left to Python."""
    try:
        content = read_file(path, _MOST_BYTES)
    except ValueError:  # no text of Python is so long
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in content:
        return
    try:
        ast.parse(content, str(path))
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from None


def run_script(target: str, arguments: Sequence[str], is_module: bool) -> BaseException | None:
    """Run a script or module as `__main__`; return what it raised, SystemExit included."""
    _as_python_begins()
    try:
        if is_module:
            sys.argv = ["-m", *arguments]
            _put_first(Path.cwd())
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            path = str(Path(target).absolute())
            sys.argv = [path, *arguments]
            _put_first(Path(path).resolve().parent)
            runpy.run_path(path, run_name="__main__")
    except BaseException as error:
        error.__traceback__ = _theirs(error.__traceback__)
        return error
    return None


def _put_first(folder: Path) -> None:
    """Put a folder where Python has put that of this command."""
    if not sys.flags.safe_path:
        sys.path[0] = str(folder)


def _as_python_begins() -> None:
    """Take back what this command has set up for itself."""
    warnings.formatwarning = PYTHONS_WARNING
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, usual)


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback from their first line on."""
    while trace is not None and (trace.tb_frame.f_code.co_filename == __file__ or _is_runpy(trace)):
        trace = trace.tb_next
    return trace


def _is_runpy(trace: TracebackType) -> bool:
    return trace.tb_frame.f_globals.get("__name__") == "runpy"


def exit_code(error: BaseException | None) -> int:
    """Say what Python would of what a script has raised, and return its exit code."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    sys.excepthook(type(error), error, error.__traceback__)
    return 130 if isinstance(error, KeyboardInterrupt) else 1
