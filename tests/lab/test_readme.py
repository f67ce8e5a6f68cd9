"""What README and docs tell a stranger to do with the laboratory is what `vgt` takes."""

from __future__ import annotations

import pytest

from tests.readme import PAGES, REPOSITORY, check_line, lines_of
from vgtemplate.lab.cli import COMMANDS
from vgtemplate.lab.readme_table import MARKERS, table_of
from vgtemplate.lab.verdicts import FOLDER, read_verdicts


@pytest.mark.parametrize("line", lines_of(COMMANDS))
def test_every_command_line_is_one_that_vgt_takes(line: str) -> None:
    check_line(line)


def test_table_of_verdicts_is_that_of_the_file_that_the_page_names() -> None:
    """`make verdicts-table` fills it."""
    path = REPOSITORY / "docs/verdicts.md"
    (found,) = MARKERS.finditer(path.read_text(encoding="utf-8"))
    assert found["file"].startswith("verdicts/mnist-")
    assert found["table"] == table_of(path, found["file"])
    texts = [(REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES]
    assert sum(bool(MARKERS.search(text)) for text in texts) == 1


def test_committed_verdicts_have_the_names_of_their_content() -> None:
    for path in sorted((REPOSITORY / FOLDER).glob("*.json")):
        assert path.name == read_verdicts(path).file_name
