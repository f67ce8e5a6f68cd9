"""Turns pydantic's report on settings into one line: the key, what is wrong with it, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vgtemplate.config.errors import UserError, unknown_name

Model = TypeVar("Model", bound=BaseModel)


def _allowed_keys(schema: type[BaseModel], location: tuple[int | str, ...]) -> Iterable[str]:
    """Return the keys of the model that `location` (ending in an unknown key) points into."""
    models = _all_models()
    for step in map(str, location[:-1]):
        info = schema.model_fields.get(step)
        named = (
            step if step in models else next(iter(re.findall(r"\w+Config|Factory", str(info and info.annotation))), "")
        )
        schema = models.get(named, schema)
    return schema.model_fields


def _all_models() -> dict[str, type[BaseModel]]:
    models: dict[str, type[BaseModel]] = {}
    queue = [BaseModel]
    while queue:
        children = queue.pop().__subclasses__()
        models |= {child.__name__: child for child in children}
        queue += children
    return models


_READING = ("function-", "constrained-", "list[")
"""How pydantic's locations name the readings of a setting that allows several, such as a width or a list of them."""


def _readings_joined(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Keep, of a setting that allows several readings, the problem of the reading that fits best."""
    kept: dict[tuple[int | str, ...], ErrorDetails] = {}
    for problem in problems:
        location = problem["loc"]
        tags = [index for index, step in enumerate(location) if str(step).startswith(_READING)]
        setting = location[: tags[0]] if tags else location
        rank = [
            (len(found["loc"]), not found["type"].endswith("_type")) for found in (kept.get(setting, problem), problem)
        ]
        if rank[1] >= rank[0]:
            kept[setting] = problem
    return list(kept.values())


def abridged(value: object) -> str:
    """Quote the beginning of a value; of a large structure, which aliases make larger than memory, only its kind."""
    if isinstance(value, str | float | None) or (isinstance(value, int) and value.bit_length() < 200):
        return repr(str(value)[:60])
    return "so large a number" if isinstance(value, int) else f"a {type(value).__name__}"


def one_line(error: ValidationError, schema: type[BaseModel], prefix: str) -> str:
    """Turn pydantic's report into one line about its first finding."""
    problems = error.errors(include_url=False, include_context=False)
    first, *others = _readings_joined(problems)
    location = tuple(first["loc"])
    # Of a section that allows several kinds, the kind stands in the location as a class's name.
    keys = [str(step) for step in location if not str(step).startswith(_READING) and step not in _all_models()]
    key = ".".join(([prefix] if prefix else []) + keys)
    if first["type"] == "extra_forbidden":
        text = unknown_name("key", location[-1], _allowed_keys(schema, location))
    elif first["type"] == "missing":
        text = "is missing"
    else:
        text = first["msg"].removeprefix("Value error, ")
        if not first["msg"].startswith("Value error"):
            text = re.sub(r"valid dictionary( or instance of \w+)?", "mapping of settings", text)
            text = f"{text[:1].lower()}{text[1:]}, not {abridged(first['input'])}"
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{key + ': ' if key else ''}{text}{more}".split())


def validate(schema: type[Model], content: Mapping[str, Any], where: str, prefix: str = "") -> Model:
    """Return what the file `where` says below the key `prefix` as `schema` has it.

    Raises:
        UserError: one line with the first thing that is wrong.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {one_line(error, schema, prefix)}") from None
