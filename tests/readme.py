"""The README's blocks of code, and the check that a line of its commands is one that vgt takes."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from vgtemplate.cli.main import vgt

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SHELL = [line for block in BLOCKS for line in block.splitlines()]


def lines_of(commands: object) -> list[str]:
    """The README's lines that call one of the commands."""
    assert isinstance(commands, dict)
    return [line for line in SHELL if line.startswith("vgt ") and line.split()[1] in commands]


def check_line(line: str) -> None:
    """Hold a line's options and files against what there is."""
    words = line.partition("#")[0].split()[1:]
    command = vgt.get_command(None, words[0])  # type: ignore[arg-type]
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert CliRunner().invoke(vgt, [words[0], "--help"]).exit_code == 0
    for path in (word for word in words if word.endswith(".yaml")):
        assert (REPOSITORY / path).exists() or f"# {path}\n" in README
