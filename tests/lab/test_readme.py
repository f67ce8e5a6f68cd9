"""What the README tells a stranger to do with the laboratory is what `vgt` takes."""

from __future__ import annotations

import pytest

from tests.readme import README, REPOSITORY, SHELL, check_line
from vgtemplate.cli.main import COMMANDS
from vgtemplate.lab.readme_table import MARKERS, table_of
from vgtemplate.lab.verdicts import FOLDER, read_verdicts


@pytest.mark.parametrize(
    "line", [line for line in SHELL if line.startswith("vgt ") and line.split()[1] not in COMMANDS]
)
def test_every_other_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)


def test_table_of_verdicts_is_that_of_the_file_that_the_readme_names() -> None:
    """`make readme-table` fills it."""
    (found,) = MARKERS.finditer(README)
    assert found["file"].startswith(f"{FOLDER}/mnist-")
    assert found["table"] == table_of(REPOSITORY / "README.md", found["file"])


def test_committed_verdicts_have_the_names_of_their_content() -> None:
    for path in sorted((REPOSITORY / FOLDER).glob("*.json")):
        assert path.name == read_verdicts(path).file_name
