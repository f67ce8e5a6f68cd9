"""Files that are read: only if they are files, and no larger than they may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import NO_FILES, make_no_file
from vgtemplate.config.errors import UserError
from vgtemplate.config.inputs import check_file, read_file, read_input, read_text

MOST = 10


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("read", [check_file, read_file])
def test_what_cannot_be_read_to_its_end_is_not_begun(tmp_path: Path, kind: str, read: Callable[..., object]) -> None:
    with pytest.raises((OSError, ValueError)):
        read(make_no_file(tmp_path, kind, "it"), MOST)


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("read", [read_input, read_text])
def test_what_a_user_names_is_named(tmp_path: Path, kind: str, read: Callable[..., object]) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}/it: cannot be read: ") as caught:
        read(make_no_file(tmp_path, kind, "it"), MOST)
    assert "\n" not in str(caught.value)


def test_file_may_have_so_many_bytes_and_not_one_more(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"x" * MOST)
    assert read_input(path, MOST) == b"x" * MOST
    path.write_bytes(b"x" * (MOST + 1))
    with pytest.raises(UserError, match="it has 11 bytes; allowed: at most 10"):
        read_input(path, MOST)


def test_text_is_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes("é".encode())
    assert read_text(path, MOST) == "é"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match="it: cannot be read: 'utf-8'"):
        read_text(path, MOST)


def test_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it: no such file"):
        read_input(tmp_path / "it", MOST)
    with pytest.raises(UserError, match="cannot be read"):
        read_input(Path("a\0b"), MOST)
