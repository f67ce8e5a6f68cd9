"""The terminal that commands print to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


def make_console(stderr: bool = False) -> Console:
    """Return the console: as wide as the terminal, 120 columns where the output goes to a file or a pipe."""
    # What prints JSON alone does without rich.
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=120)


def print_json(content: object) -> None:
    """Print plain data as one JSON document; raises ValueError for NaN and infinity, see `text.plain_number`."""
    click.echo(json.dumps(content, indent=1, allow_nan=False))
