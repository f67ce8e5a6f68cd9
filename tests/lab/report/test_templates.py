"""What no template of the report may do."""

from __future__ import annotations

import re
from pathlib import Path

from vgtemplate.lab import report

TEMPLATES = sorted((Path(report.__file__).parent / "templates").iterdir())


def test_no_template_switches_escaping_off() -> None:
    assert TEMPLATES
    for path in TEMPLATES:
        assert not re.search(r"\|\s*safe\b|\bautoescape\b", path.read_text()), path
