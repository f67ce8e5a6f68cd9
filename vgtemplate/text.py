"""How numbers, seeds and settings are written, for people and as JSON; one way each, wherever they appear."""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Plain: TypeAlias = "float | str | None"
"""A number in JSON, which has no NaN and no infinity: null, "Infinity", "-Infinity"."""

_UNUSUAL = re.compile(r"[^\n\t -~]")
_PACKAGE = Path(__file__).resolve().parent
_INFINITIES = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain_number(value: float) -> Plain:
    """Return a number as JSON has it; `read_number` reads it back."""
    return None if math.isnan(value) else _INFINITIES.get(value, float(value))


def read_number(value: Plain) -> float:
    """Return what `plain_number` was given."""
    return math.nan if value is None else float(value)


def write_number(value: float) -> str:
    """Write a number with three significant digits, an infinity as its sign, NaN in words."""
    if math.isnan(value):
        return "no value"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.3g}"


def write_count(number: float, noun: str) -> str:
    """Write how many of something there are: "1 claim", "12,000 networks"; no noun has a plural but in s."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def write_spread(values: Sequence[float]) -> str:
    """Write median, minimum and maximum, or a single value; NaN, which has no place in an order, is counted apart."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "no value"
    text = write_number(statistics.median(known))
    if len(known) > 1:
        text += f" [{write_number(min(known))}, {write_number(max(known))}]"
    missing = len(values) - len(known)
    return f"{text}, {missing} without a value" if missing else text


def is_text(text: str) -> bool:
    """Say whether a text can be written anywhere: an escape in YAML, or a file's name, may hold half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def visible(text: str) -> str:
    """Return a text from outside as it may go to a terminal, a page or a server: what would be a command is spelt out.

    Spelt out, as "\\x1b", are control and format characters but line breaks and tabs, and halves of characters, which
    names of files that are no UTF-8 have.
    """
    return _UNUSUAL.sub(lambda found: _spell_out(found[0]), text)


def _spell_out(mark: str) -> str:
    return mark if mark.isprintable() or unicodedata.category(mark) == "Zs" else ascii(mark)[1:-1]


def describe_seeds(seeds: Sequence[int]) -> str:
    """Write seeds: "seeds 0 to 9", "seed 3", "seeds 0, 2", "no seeds"."""
    if not seeds:
        return "no seeds"
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return "seeds " + ", ".join(map(str, seeds))


def describe_seconds(seconds: float) -> str:
    """Write a rough time: "89 s", "2 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def write_value(value: object) -> str:
    """Write a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(write_value, value))
    return "none" if value is None else str(value)


def flatten(settings: object, prefix: str = "") -> dict[str, object]:
    """Return nested settings by dotted name, {"model": {"depth": 2}} -> {"model.depth": 2}."""
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    flat: dict[str, object] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def as_note(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return what a warning of ours prints, in one line; where it was raised matters in those of the libraries only."""
    if category is UserWarning and Path(filename).is_relative_to(_PACKAGE):
        return f"note: {visible(str(message))}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
