"""What a worker answers where a job cannot be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgtemplate.lab import worker
from vgtemplate.lab.check_job import plan_check


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (
            ModuleNotFoundError("", name="sklearn.base"),
            "scikit-learn is not installed: pip install 'vgtemplate[vision]'",
        ),
        (
            ModuleNotFoundError("No module named 'absent'", name="absent"),
            "ModuleNotFoundError: No module named 'absent'",
        ),
        (ValueError("two\nlines"), "ValueError: two lines"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: Exception, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "run_task", fail)
    assert worker._attempt(plan_check("a", "derivative_bounds"), worker.How(tmp_path, tmp_path, 1)) == answer
