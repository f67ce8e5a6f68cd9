"""What the README tells a stranger to do with the laboratory is what `vgt` takes."""

from __future__ import annotations

import pytest

from tests.test_readme import VGT, assert_taken
from vgtemplate.cli.main import COMMANDS


@pytest.mark.parametrize("line", [line for line in VGT if line.split()[1] not in COMMANDS])
def test_every_command_line_is_one_that_vgt_takes(line: str) -> None:
    assert_taken(line)
