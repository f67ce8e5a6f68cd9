"""What people write themselves: a function or class named `package.module:name`, found, checked and called.

Whatever their code raises becomes one line with the place in their file.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from vgtemplate.config.errors import UserError, unknown_name
from vgtemplate.config.strict import Checked, StrictModel, require

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_own(text: object) -> bool:
    """Say whether a setting names something of one's own, `module:name`, rather than something built in."""
    return isinstance(text, str) and ":" in text


def check_path(text: str) -> str:
    """Return `package.module:name`; as a validator has to, raise a ValueError if it is none."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:60]!r} names no code; allowed: module:name, e.g. my_nets:make_net")
    return text


def _fault(value: object) -> str | None:
    """Return what keeps a value out of a record's JSON, or None."""
    if isinstance(value, Mapping):
        keys = (None if isinstance(key, str) else f"the key {key!r} is no text" for key in value)
        return next(filter(None, [*keys, *map(_fault, value.values())]), None)
    if isinstance(value, list):
        return next(filter(None, map(_fault, value)), None)
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return None
    return f"{str(value)[:60]} is {'no finite number' if isinstance(value, float) else 'a ' + type(value).__name__}"


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    if (fault := _fault(settings)) is not None:
        raise ValueError(f"{fault}; allowed: text, numbers, true, false, null, lists and mappings of these")
    return settings


CodePath = Annotated[str, Checked(check_path, lambda: {"pattern": ":"})]
OFFERED: Mapping[str, tuple[str, ...]] = {
    "model": ("input_shape", "num_classes"),
    "module": ("input_shape", "num_classes"),
    "data": (),
}
"""By section: what its factory is given where its signature names it and its settings do not."""
PlainSettings = Annotated[dict[str, Any], AfterValidator(_plain)]


def named_or_own(kind: str, names: Iterable[str]) -> Checked:
    """Return the check that a text is one of `names` or `module:name`."""
    return Checked(
        lambda text: check_path(text) if is_own(text) else require(kind, text, names),
        lambda: {"anyOf": [{"enum": list(names)}, {"pattern": ":"}]},
    )


class Factory(StrictModel):
    """Something of one's own: the function (or class) that makes it, and what it is called with."""

    factory: CodePath
    """`module:name` of a function or class: installed, beside the experiment's file, or in the working folder."""
    settings: PlainSettings = Field(default_factory=dict)
    """Its keyword arguments."""


_BESIDE: list[Path] = []
"""The folders of the experiments that were read, the last first."""


def search_beside(file: Path) -> None:
    """Have code of one's own searched in the folder of this experiment's file too."""
    folder = file.absolute().parent
    if folder not in _BESIDE:
        _BESIDE.insert(0, folder)


def find(where: str, text: str) -> Callable[..., Any]:
    """Import what `module:name` names: of a library, beside the experiment that was read, or in the working folder.

    Args:
        where: the setting, with which a message begins, e.g. "model.factory".

    Raises:
        UserError: there is no such module or name, or its import fails.
    """
    module_name, _, name = text.partition(":")
    module = _import(f"{where} {text}", module_name)
    try:
        found = attrgetter(name)(module)
    except AttributeError:
        names = [each for each in vars(module) if not each.startswith("_") and callable(getattr(module, each))]
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names)[:20]) or 'none'}"
        raise UserError(f"{where} {text}: {_place(module)} has no {name!r}; {hint}") from None
    if not callable(found):
        raise UserError(f"{where} {text}: is a {type(found).__name__}; it must be a function or a class")
    return found  # type: ignore[no-any-return]


def _import(what: str, name: str) -> Any:
    # Last, so that a file of theirs never takes the place of a library's; a process that is spawned gets this path too.
    folders = [str(each) for each in (*_BESIDE, Path.cwd()) if str(each) not in sys.path]
    if folders:
        sys.path += folders
        importlib.invalidate_caches()
    with their_errors(what, "cannot be imported: "):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            files = (file for folder in map(Path, sys.path) if not is_library(folder) for file in folder.glob("*.py"))
            near = get_close_matches(name, [file.stem for file in files], n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"{what}: no module {error.name!r} beside the experiment, in the working folder or among the installed "
                f"packages{hint}"
            ) from None


def _place(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return _short(Path(file)) if file else str(module.__name__)


def _short(file: Path) -> str:
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


_STANDARD = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})


def is_library(file: Path) -> bool:
    """Say whether a file is Python's own or an installed package's."""
    resolved = file.resolve()
    return bool({"site-packages", "dist-packages"} & set(resolved.parts)) or any(
        resolved.is_relative_to(folder) for folder in _STANDARD
    )


def _last_own_line(trace: TracebackType | None) -> str:
    """Return "file.py:12" of the innermost line that no library wrote; "" if there is none."""
    frames = [each for each in traceback.extract_tb(trace) if not each.filename.startswith("<")]
    package = Path(__file__).resolve().parents[1]
    own = [
        each
        for each in frames
        if not is_library(Path(each.filename)) and not Path(each.filename).is_relative_to(package)
    ]
    return f"{_short(Path(own[-1].filename))}:{own[-1].lineno}" if own else ""


@contextmanager
def their_errors(what: str, doing: str = "") -> Iterator[None]:
    """Turn whatever people's own code raises within it into a UserError: what, the reason, file and line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        # A file that cannot be parsed has no line that was run.
        parsed = isinstance(error, SyntaxError) and error.filename and f"{_short(Path(error.filename))}:{error.lineno}"
        place = parsed or _last_own_line(error.__traceback__)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        text = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        raise UserError(f"{what}: {doing}{text}{f' ({place})' if place else ''}") from error


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return a function's parameters by name; None where it does not say (written in C)."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


_OPEN = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def check_settings(where: str, factory: Factory, offered: tuple[str, ...] = ()) -> None:
    """Hold settings against what the factory takes, before anything runs.

    Args:
        where: of the setting, e.g. "model".
        offered: names of what the package gives where the factory asks for it and the settings do not.

    Raises:
        UserError: it cannot be found, takes no setting of that name, or needs one that is missing.
    """
    parameters = _parameters(find(f"{where}.factory", factory.factory))
    if parameters is None:
        return
    named = {name: each for name, each in parameters.items() if each.kind not in _OPEN}
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for name in factory.settings:
        if name not in named and not takes_any:
            raise UserError(f"{where}.settings: {unknown_name(f'setting of {factory.factory}', name, named)}")
    for name, each in named.items():
        if each.default is inspect.Parameter.empty and name not in factory.settings and name not in offered:
            raise UserError(f"{where}.settings.{name}: is missing; {factory.factory} needs it")


def check_takes(where: str, text: str, *names: str) -> None:
    """Find a function of one's own and hold its signature against the arguments that it will be given, in this order.

    Raises:
        UserError: there is none, or it takes others.
    """
    function = find(where, text)
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        raise UserError(f"{where} {text}: must take ({', '.join(names)}): {error}") from None
    except ValueError:  # written in C, and does not say
        return


def build(where: str, factory: Factory, offered: Mapping[str, Any] | None = None) -> Any:
    """Call a factory with its settings, and with what is offered under names of its signature.

    Raises:
        UserError: it cannot be found, or what it raised, in one line.
    """
    function = find(f"{where}.factory", factory.factory)
    parameters = _parameters(function) or {}
    asked = {name: value for name, value in (offered or {}).items() if name in parameters}
    with their_errors(f"{where}.factory {factory.factory}"):
        return function(**(asked | factory.settings))
