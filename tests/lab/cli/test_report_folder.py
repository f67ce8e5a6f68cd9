"""Something else may be where the report belongs: that is one line, and whatever it is stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.lab.cli.report import _is_written

CLAIM = """
id: c
articles: []
statement: "Something is so."
kind: training
notes: "n"
arms:
  arm: {model: {depth: 2, width: 4}, data: {num_train: 40, num_test: 20}, training: {steps: 3}}
parts: [{metric: test_accuracy, arms: [arm], label: "it", threshold: ">= 0"}]
literature: "l"
"""
TWICE = """
import contextlib, os, sys
from vgtemplate.cli.main import main
results = sys.argv.pop(1)
# Once as this user: another may not be able to read this Python's folders.
with contextlib.suppress(SystemExit):
    main()
os.environ["VGT_RESULTS_DIR"] = results
if os.geteuid() == 0:
    os.setuid(65534)
main()
"""
REPORT = ("report", "--dataset", "digits", "--seeds", "1", "--no-tracking")


@pytest.fixture
def report_folder(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "c.yaml").write_text(CLAIM)
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(tmp_path / "claims"))
    results.mkdir()
    return results / "report"


MADE: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("precious"),
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_folder_is_one_line_and_stays(call_vgt: Callable[..., Any], report_folder: Path, kind: str) -> None:
    MADE[kind](report_folder)
    before = report_folder.lstat()
    ended = call_vgt(*REPORT)
    assert ended.refused, ended
    assert str(report_folder) in ended.err
    after = report_folder.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)


@pytest.mark.parametrize("kind", MADE)
def test_stamp_that_is_not_what_was_written_has_the_pages_drawn_anew(tmp_path: Path, kind: str) -> None:
    for name in ("index.html", "gallery.html", "theory.html"):
        (tmp_path / name).touch()
    stamp = tmp_path / ".inputs"
    assert not _is_written(tmp_path, stamp, "digest")
    MADE[kind](stamp)
    assert not _is_written(tmp_path, stamp, "digest")
    stamp.unlink()
    stamp.write_text("digest")
    assert _is_written(tmp_path, stamp, "digest")


@pytest.mark.slow  # starts Python anew, as another user where this one may write everywhere
def test_folder_that_may_not_be_written_is_one_line() -> None:
    # Not below pytest's folder, which no other user may enter.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "claims").mkdir()
        (root / "claims" / "c.yaml").write_text(CLAIM)
        folder = root / "results" / "report"
        folder.mkdir(parents=True)
        (folder / "mine.txt").write_text("precious")
        folder.chmod(0o555)
        folder.parent.chmod(0o777)
        root.chmod(0o755)
        own = {"OMP_NUM_THREADS": "1", "HOME": str(root / "results"), "VGT_RESULTS_DIR": str(root / "first")}
        ended = subprocess.run(
            [sys.executable, "-c", TWICE, str(root / "results"), *REPORT],
            cwd=root,
            env={**os.environ, **own, "VGT_CLAIMS_DIR": str(root / "claims")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 2, ended.stderr
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert "the report cannot be written (Permission denied)" in ended.stderr
        assert [path.name for path in folder.iterdir()] == ["mine.txt"]
        folder.chmod(0o755)
