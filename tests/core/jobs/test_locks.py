"""Locks end with the process that holds them, and are written nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.jobs.locks import hold, is_held


def test_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from vgtemplate.jobs.locks import hold\n"
        "with hold(Path(sys.argv[1]), 'k'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_held(tmp_path, "k")
    holder.kill()
    holder.wait()
    assert not is_held(tmp_path, "k")
    with hold(tmp_path, "k") as waited:
        assert not waited
        assert is_held(tmp_path, "k")
        assert not is_held(tmp_path, "other")


def test_nothing_is_held_where_there_is_no_folder(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "absent", "k")


def test_lock_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "k.lock").symlink_to(victim)
    with pytest.raises(UserError, match="cannot be locked"), hold(tmp_path, "k"):
        pass
    assert victim.read_text() == "precious"


def test_lock_that_cannot_be_given_back_hides_no_other_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that breaks refuses the record, which is to be said, and then the end of the lock."""

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    def train() -> None:
        with hold(tmp_path, "k"):
            monkeypatch.setattr("filelock.FileLock._release", refuse)
            raise UserError("the record cannot be written")

    with pytest.raises(UserError, match="the record cannot be written"):
        train()
