"""Tables that fit the terminal: where it is narrow, the least important columns are left out, never the names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vgtemplate.text import visible

_NARROWEST = 30
"""Characters below which a column that folds is not narrowed while another can be left out."""
_GAP = 2
_NO_VALUES = {"", "-"}


@dataclass(frozen=True)
class Column:
    """A column: one of rank 0 is always shown, of the others those of the lowest ranks that there is room for."""

    heading: str
    rank: int = 0
    folds: bool = False
    """Whether its text may go on in the next line."""
    justify: Literal["left", "right"] = "left"


def _read(markup: str, style: str = "") -> Text:
    """Read rich's markup, whatever texts from outside are in it."""
    return Text.from_markup(visible(markup), style=style)


def make_table(
    title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int, caption: str = ""
) -> Group:
    """Return a table of no more than `width` characters, if need be without some columns, which its caption names.

    Args:
        title: above it; like all texts here, rich's markup.
        columns: what to show at most.
        rows: one text per column.
        width: of the terminal.
        caption: below it.
    """
    cells = [list(row) for row in rows]
    texts = [[column.heading, *(row[index] for row in cells)] for index, column in enumerate(columns)]
    shown = _choose(columns, texts, width)
    dropped = [column.heading for index, column in enumerate(columns) if index not in shown]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for index in shown:
        column = columns[index]
        table.add_column(column.heading, justify=column.justify, no_wrap=not column.folds, overflow="fold")
    for row in cells:
        table.add_row(*(row[index] for index in shown))
    above = [_read(title, style="italic")] if title else []
    notes = [caption, f"no room for: {', '.join(dropped)}" if dropped else ""]
    return Group(*above, table, *(_read(note, style="dim") for note in notes if note))


def _choose(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return which columns there is room for, given each one's heading and cells."""

    def importance(index: int) -> tuple[bool, int]:
        says_nothing = set(texts[index][1:]) <= _NO_VALUES
        return columns[index].rank > 0 and says_nothing, columns[index].rank

    shown, used = [], 0
    for index in sorted(range(len(columns)), key=importance):
        needed = _width(columns[index], texts[index])
        if columns[index].rank == 0 or used + needed <= width:
            shown.append(index)
            used += needed + _GAP
    return sorted(shown)


def _width(column: Column, texts: Iterable[str]) -> int:
    """Return the least width of a column: of its longest line, unless that may fold."""
    lines = (line for text in texts for line in _read(text).split())
    longest = max(line.cell_len for line in lines)
    return min(longest, _NARROWEST) if column.folds else longest
