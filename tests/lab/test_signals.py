"""A reproduction survives a signal at any moment of it: exit code, one line, nothing lost, the next call completes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.signals import disturb, make_case, moments


@pytest.mark.slow
def test_reproduction_survives_a_signal_at_any_moment(tmp_path: Path) -> None:
    """Takes long because of its ten moments, each of which is a reproduction broken off and one that goes on.

    Every hundredth: `python -m benchmarks.reliability signals`.
    """
    case = make_case(COMMANDS["reproduce"], tmp_path / "case", anew=False)
    for moment in moments(5):
        if not moment.while_loading:
            assert disturb(case, tmp_path / "disturbed", moment) == [], str(moment)
