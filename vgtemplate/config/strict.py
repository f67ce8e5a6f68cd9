"""Settings that refuse what they do not know, and the names that can stand in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from vgtemplate.config import catalogue
from vgtemplate.config.errors import UserError


class StrictModel(BaseModel):
    """Settings that refuse unknown keys, silent type conversions, infinities and later changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def require(kind: str, name: str, table: Iterable[str]) -> str:
    """Check a name as a validator has to: a ValueError, which the reader of the file gives its place."""
    try:
        return catalogue.check_name(kind, name, dict.fromkeys(table))
    except UserError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True)
class Checked:
    """A check of a text, and what the JSON schema says of it, for which no function can speak."""

    check: Callable[[str], str]
    describe: Callable[[], dict[str, Any]] = field(hash=False)
    """What the JSON schema says beside its type."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self.describe()}


def known(kind: str, table: Iterable[str], *others: str) -> Checked:
    """Return the check that a name is in `table` or one of `others`, the nearest known one in its message."""
    return Checked(
        lambda name: require(kind, name, [*table, *others]), lambda: {"enum": list(dict.fromkeys([*table, *others]))}
    )


_SLUG = r"[a-z0-9][a-z0-9._-]{0,79}"


def _slug(name: str) -> str:
    if not re.fullmatch(_SLUG, name) or ".." in name:
        raise ValueError(f"{name!r} cannot be a name; allowed: lower-case letters, digits and . _ - (80 at most)")
    return name


Slug = Annotated[str, Checked(_slug, lambda: {"pattern": f"^{_SLUG}$"})]
MOST = 10**12
"""More of anything than can be trained or kept."""
Count = Annotated[int, Field(ge=1, le=MOST)]
