"""Names that are declared where their function is written: a decorator states the row, this file reads it.

`@activation("Misra 2019", max_derivative=1.0885, initialiser="he_normal")` above `def mish(z)` is all it takes. The
rows of the package's own files are read from their text, so that a name can be checked before torch is loaded; what
another module declares is known once that module is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

_PACKAGE = Path(__file__).resolve().parents[1]


class Named(Protocol):
    """A row of the catalogue."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Declared(Mapping[str, Row]):
    """The rows that one decorator declares, by name, in the order in which they are written.

    Args:
        row: the dataclass of a row: `name`, `source`, and what else the decorator is given. A field `options` holds
            the names of the function's arguments beyond the first.
        decorator: its name.
        place: the file, or the folder of files, relative to the package, in which it is used.
    """

    def __init__(self, row: type[Row], decorator: str, place: str) -> None:
        self._row, self._decorator, self._place = row, decorator, place
        self._added: dict[str, Row] = {}

    @cached_property
    def _written(self) -> dict[str, Row]:
        path = _PACKAGE / self._place
        rows: dict[str, Row] = {}
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for definition in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(definition, ast.FunctionDef | ast.ClassDef):
                    rows |= self._read(file, definition)
        return rows

    def _read(self, file: Path, definition: ast.FunctionDef | ast.ClassDef) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for call in reversed(definition.decorator_list):  # as Python applies them
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == self._decorator:
                try:
                    values = [ast.literal_eval(value) for value in call.args]
                    named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
                except ValueError:
                    place = f"{file.relative_to(_PACKAGE)}:{call.lineno}"
                    raise ValueError(f"{place}: @{self._decorator} takes literal values only") from None
                name = named.pop("name", definition.name)
                options = [each.arg for each in definition.args.args] if isinstance(definition, ast.FunctionDef) else []
                found[name] = self._build(name, options, *values, **named)
        return found

    def _build(self, name: str, arguments: list[str], *values: Any, **named: Any) -> Row:
        if any(field.name == "options" for field in fields(self._row)):  # type: ignore[arg-type]
            named["options"] = tuple(arguments[1:])
        return self._row(name, *values, **named)  # type: ignore[call-arg]

    def decorator(self, functions: MutableMapping[str, Any]) -> Callable[..., Callable[[_Function], _Function]]:
        """Return the decorator, which keeps each function (or class) in `functions` under its name.

        Raises:
            ValueError: when it is used a second time under one name.
        """

        def declare(*values: Any, name: str | None = None, **named: Any) -> Callable[[_Function], _Function]:
            def keep(function: _Function) -> _Function:
                key = name or function.__name__
                if key in functions:
                    raise ValueError(f"two functions are declared as {self._decorator} {key!r}")
                functions[key] = function
                code = getattr(function, "__code__", None)
                arguments = list(code.co_varnames[: code.co_argcount]) if code else []
                self._added[key] = self._build(key, arguments, *values, **named)
                return function

            return keep

        return declare

    def _rows(self) -> dict[str, Row]:
        return self._written | self._added

    def __getitem__(self, name: str) -> Row:
        return self._rows()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())
