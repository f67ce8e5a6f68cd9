"""The terminal that commands print to: the one way for every text, whoever wrote it."""

from __future__ import annotations

import functools
import io
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from vgtemplate.text import visible

if TYPE_CHECKING:
    from rich.console import Console

PYTHONS_WARNING = warnings.formatwarning
"""How Python itself prints a warning."""


@functools.cache
def _console_class() -> type[Console]:
    # What prints JSON alone does without rich.
    from rich.console import Console
    from rich.text import Text

    class OutsideTexts(Console):
        """A console that spells out what a text from outside would command the terminal."""

        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(visible(text), **settings)

    return OutsideTexts


def spell_out_what_cannot_be_encoded() -> None:
    """Print what the terminal has no character for as an escape: "\\u03c3" where it knows ASCII alone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def make_console(stderr: bool = False) -> Console:
    """Return the console: as wide as the terminal, 120 columns where the output goes to a file or a pipe."""
    console = _console_class()(stderr=stderr)
    return console if console.is_terminal else _console_class()(stderr=stderr, width=120)


def say(text: object, err: bool = False, nl: bool = True) -> None:
    """Print a plain text without rich."""
    click.echo(visible(str(text)), err=err, nl=nl)


def print_json(content: object) -> None:
    """Print plain data as one JSON document; raises ValueError for NaN and infinity, see `text.plain_number`."""
    click.echo(json.dumps(content, indent=1, allow_nan=False))
