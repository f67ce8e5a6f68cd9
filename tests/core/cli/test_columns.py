"""Tables on narrow terminals: which columns stay."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vgtemplate.cli.columns import Column, make_table

COLUMNS = (
    Column("arm", folds=True),
    Column("loss", rank=2),
    Column("accuracy", rank=1),
    Column("why", rank=3, folds=True),
)
ROWS = [
    ["plain", "2.31 [2.3, 2.31]", "0.103 [0.103, 0.103]", "a reason of many words that fold over several lines"],
    ["residual", "147 [143, 208]", "0.136 [0.1, 0.25]", "-"],
]


def shown(columns: tuple[Column, ...], rows: list[list[str]], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(make_table("a title", columns, rows, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "headings", "left_out"),
    [
        (120, "arm loss accuracy why", ""),
        (60, "arm loss accuracy", "no room for: why"),
        (40, "arm accuracy", "no room for: loss, why"),
        (20, "arm", "no room for: loss, accuracy, why"),
    ],
)
def test_least_important_columns_give_way(width: int, headings: str, left_out: str) -> None:
    lines = shown(COLUMNS, ROWS, width)
    assert lines[1].split() == headings.split()
    assert " ".join(" ".join(lines[5:]).split()).endswith(left_out)


def test_column_without_a_value_gives_way_first() -> None:
    rows = [[arm, "-", accuracy, "short"] for arm, _, accuracy, _ in ROWS]
    assert shown(COLUMNS, rows, 37)[1].split() == ["arm", "accuracy", "why"]


@given(
    st.lists(st.lists(st.text("abc xyz-", max_size=50), min_size=4, max_size=4), max_size=4),
    st.lists(st.text("abcxyz-", min_size=1, max_size=60), min_size=4, max_size=4),
    st.integers(32, 200),
)
def test_no_table_is_too_wide_and_none_loses_a_name(rows: list[list[str]], names: list[str], width: int) -> None:
    rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=False)]
    lines = shown(COLUMNS, rows, width)
    assert max(map(len, lines)) <= width
    found = "".join(line.split("  ")[0].strip() for line in lines[3:])
    assert all(name in found for name, *_ in rows)
