"""What a user reads is one line, whatever was quoted in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.config.errors import UserError, unknown_name


@given(st.text(max_size=60))
def test_any_message_is_one_line_without_commands_to_the_terminal(text: str) -> None:
    message = str(UserError(f"a{text}b"))
    assert message.isprintable()
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 25 µm: 'x'", "größe 25 µm: 'x'"),
        ("two\nlines", "two lines"),
        ("\x1b[2J\x07wiped", "\\x1b[2J\\x07wiped"),
        ("\u202eright to left", "\\u202eright to left"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_can_be_shown_is_shown_and_the_rest_is_written_out(text: str, shown: str) -> None:
    assert str(UserError(text)) == shown


def test_nearest_name_comes_first() -> None:
    assert unknown_name("fruit", "aple", ["pear", "apple"]) == (
        "unknown fruit 'aple'; did you mean 'apple'? known: apple, pear"
    )
    assert unknown_name("fruit", "zzz", ["pear"]) == "unknown fruit 'zzz'; known: pear"
