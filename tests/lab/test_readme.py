"""What the README tells a stranger to do with the laboratory is what `vgt` takes."""

from __future__ import annotations

import pytest

from tests.readme import SHELL, check_line
from vgtemplate.cli.main import COMMANDS


@pytest.mark.parametrize(
    "line", [line for line in SHELL if line.startswith("vgt ") and line.split()[1] not in COMMANDS]
)
def test_every_other_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)
