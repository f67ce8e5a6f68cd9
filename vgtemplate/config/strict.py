"""Settings that refuse what they do not know, and the names that can stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


def known(kind: str, table: Iterable[str], *others: str) -> AfterValidator:
    """Return the check that a name is in `table` or one of `others`, the nearest known one in its message."""
    return AfterValidator(lambda name: require(kind, name, [*table, *others]))


def _slug(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", name) or ".." in name:
        raise ValueError(f"{name!r} cannot be a name; allowed: lower-case letters, digits and . _ - (80 at most)")
    return name


Slug = Annotated[str, AfterValidator(_slug)]
MOST = 10**12
"""More of anything than can be trained or kept."""
Count = Annotated[int, Field(ge=1, le=MOST)]
