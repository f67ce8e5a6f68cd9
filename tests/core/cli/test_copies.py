"""Copies of a script for `vgt diagnose --prove`: which seed each has, and what its cure makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.cli.copies import Script, train_copies
from vgtemplate.doctor.prove.copies import Copy
from vgtemplate.doctor.prove.cure import Cure

PLAIN = Path(__file__).parents[1] / "doctor" / "scripts" / "plain.py"
RECTIFY = Cure("rectify", "", layers=tuple((f"body.{place}", "relu") for place in range(0, 24, 2)))


@pytest.mark.slow
def test_copies_of_a_script_have_their_own_seeds_and_cures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each copy is a Python of its own, which loads torch: several seconds apiece.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = Script.called(str(PLAIN), ("--activation", "Sigmoid", "--depth", "12", "--steps", "30"), False)
    first, other, cured = train_copies(script, 12, [Copy(0), Copy(1), Copy(0, RECTIFY)])
    assert [each.failure for each in (first, other, cured)] == ["", "", ""]
    assert [each.codes for each in (first, other, cured)] == [("vanishing-depth",), ("vanishing-depth",), ()]
    assert first.losses[0] != other.losses[0]
    assert cured.losses[-1] < first.losses[-1]
    assert not list(tmp_path.iterdir())


def test_copy_of_a_script_that_fails_says_why(tmp_path: Path) -> None:
    script = Script.called(str(tmp_path / "gone.py"), (), False)
    (trial,) = train_copies(script, 12, [Copy(0)])
    assert trial.failure.startswith("the script could not be run again (")
    assert "gone.py" in trial.failure
