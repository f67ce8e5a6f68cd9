"""The blocks of code of README and docs, and the check that a line of their commands is one that vgt takes.

In the pages ```python and ```sh are run (tests/test_docs.py); a block with a title is a file; of ```bash, which would
take too long or needs what is not there, each line is held against vgt's options.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import click

from vgtemplate.cli.main import vgt

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A block of code of a page."""

    page: str
    language: str
    title: str
    code: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.code.splitlines() if line.strip()]


_FENCE = re.compile(r"^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, named from the repository's root."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return [Block(page, *found) for found in _FENCE.findall(text)]


PAGES = ["README.md", *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELL = [(block.page, line) for block in BLOCKS if block.language in ("sh", "bash") for line in block.lines]


def lines_of(commands: object) -> list[str]:
    """The lines of all pages that call one of the commands."""
    assert isinstance(commands, dict)
    lines = [line.partition("vgt ")[2] for _, line in SHELL if re.match(r"(\w+=\S+ )*vgt ", line)]
    return sorted({f"vgt {line}" for line in lines if line.split()[0] in commands})


def check_line(line: str) -> None:
    """Hold a line's command, options and files against what there is."""
    words = line.partition("#")[0].split()[1:]
    command: click.Command = vgt
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help",
        "--version",
    }
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, line
    shown = {block.title for block in BLOCKS}
    for path in (word for word in words if word.endswith(".yaml")):
        assert (REPOSITORY / path).exists() or path in shown, path
