"""Committed verdicts as Markdown, and a text that keeps such a table between two markers."""

from __future__ import annotations

import re
from pathlib import Path

from vgtemplate.atomic import write_whole
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import read_text
from vgtemplate.lab.judge import VERDICTS
from vgtemplate.lab.verdicts import ClaimEntry, PartEntry, Verdicts, read_verdicts
from vgtemplate.text import read_number, write_count, write_number

MARKERS = re.compile(r"(<!-- verdicts: (?P<file>\S+) -->\n)(?P<table>.*?)(<!-- end of verdicts -->)", re.DOTALL)
"""The first names the file, relative to the text's folder."""
_MOST_BYTES = 2**24
"""More than any page of text has."""
_KINDS = {"training": "In training:", "timing": "Timings:", "initial": "At initialisation:"}
_HEAD = (
    "| claim | verdict | effect of the part that decides: median [min, max] | needed | networks | seeds |\n"
    "|---|---|---|---|---|---|"
)


def write_table(verdicts: Verdicts) -> str:
    """Return the verdicts as Markdown: how many of each word, and a row per claim that is not exact."""
    found = verdicts.claims.values()
    counts = [f"{count} {word}" for word in VERDICTS if (count := sum(entry.verdict == word for entry in found))]
    claims, networks = write_count(len(verdicts.claims), "claim"), write_count(verdicts.networks, "network")
    blocks = [
        f"On {verdicts.dataset}, on {verdicts.machine.title} ({verdicts.date}), of {claims} "
        f"{', '.join(counts)}; {networks} {'was' if verdicts.networks == 1 else 'were'} trained for that, "
        f"{verdicts.seconds / 3600:.1f} hours of training if one ran after the other. {_exact(verdicts)}".strip()
    ]
    for kind, heading in _KINDS.items():
        rows = [_row(name, entry) for name, entry in sorted(verdicts.claims.items()) if entry.kind == kind]
        if rows:
            blocks += [heading, "\n".join([_HEAD, *rows])]
    return "\n\n".join(blocks) + "\n"


def _exact(verdicts: Verdicts) -> str:
    exact = [(name, entry) for name, entry in sorted(verdicts.claims.items()) if entry.kind == "exact"]
    rest = [f"`{name}`, {entry.verdict}" for name, entry in exact if entry.verdict != "confirmed"]
    if not exact:
        return ""
    but = f" but {'; '.join(rest)}" if rest else ""
    return f"The {len(exact)} exact claims (closed forms, gradients, formulas) are all confirmed{but}."


def _row(name: str, entry: ClaimEntry) -> str:
    part = next(part for part in entry.parts if part.title == entry.deciding)
    count = f"{part.cleared} of {part.count}"
    cells = [f"`{name}`", entry.verdict, _effect(part), part.threshold, count, part.seeds.removeprefix("seeds ")]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _effect(part: PartEntry) -> str:
    median, low, high = (write_number(read_number(value)) for value in (part.median, part.lowest, part.highest))
    missing = f", {part.without_value} without a value" if part.without_value else ""
    return f"{part.title}: {median} [{low}, {high}]{missing}"


def fill(path: Path) -> bool:
    """Write the table between a text's markers anew, from the file that they name; say whether anything changed.

    Raises:
        UserError: there are no markers, or a file cannot be read or written.
    """
    text = read_text(path, _MOST_BYTES)
    if not MARKERS.search(text):
        raise UserError(f"{path}: has no <!-- verdicts: FILE --> ... <!-- end of verdicts --> to be filled")
    filled = MARKERS.sub(lambda found: found[1] + table_of(path, found["file"]) + found[4], text)
    if filled != text:
        try:
            write_whole(path, filled)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return filled != text


def table_of(path: Path, file: str) -> str:
    """Return what stands between a text's markers that name `file`."""
    return f"\n{write_table(read_verdicts(path.parent / file))}\n"
