"""Locks end with the process that holds them, and are written nowhere else."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vgtemplate.config.errors import UserError
from vgtemplate.jobs.locks import drop_locks, free_locks, hold, hold_if_free, is_held, lock_folder
from vgtemplate.records import record_path


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


TAKE_TURNS = """
import os, random, sys
from pathlib import Path
from vgtemplate.jobs.locks import hold, hold_if_free
results, seed = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)
for _ in range(200):
    with hold(results, "k") if seed % 2 else hold_if_free(results, "k") as got:
        if seed % 2 or got:
            # Fails where another process is inside.
            os.close(os.open(results / "inside", os.O_CREAT | os.O_EXCL))
            (results / "inside").unlink()
            if draw.random() < 0.5:  # with a record the file of the lock goes, without it stays
                (results / "k").mkdir(exist_ok=True)
            else:
                os.path.isdir(results / "k") and os.rmdir(results / "k")
"""


@pytest.mark.slow  # six processes
def test_one_process_holds_a_lock_whose_file_is_taken_away_again_and_again(tmp_path: Path) -> None:
    """Half of them train, and wait for each other; half of them clear up."""
    call = [sys.executable, "-c", TAKE_TURNS, str(tmp_path)]
    running = [subprocess.Popen([*call, str(seed)], stderr=subprocess.PIPE, text=True) for seed in range(6)]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said


def test_lock_of_what_has_a_record_leaves_no_file(tmp_path: Path) -> None:
    locks = lock_folder(tmp_path)
    with hold(tmp_path, "k"):
        pass
    assert [path.name for path in locks.iterdir()] == ["k.lock"]
    with hold(tmp_path, "k"):
        record_path(tmp_path, "k").mkdir()
    assert list(locks.iterdir()) == []


def test_asking_leaves_no_file(tmp_path: Path) -> None:
    lock_folder(tmp_path).mkdir()
    assert not is_held(tmp_path, "k")
    assert list(lock_folder(tmp_path).iterdir()) == []


def test_whoever_waits_for_a_lock_that_is_taken_away_gets_the_next_one(tmp_path: Path) -> None:
    """A process that has opened the file before it is taken away must not be content with it."""
    opened, go_on = threading.Event(), threading.Event()
    lock = fcntl.flock

    def wait_before(descriptor: int, operation: int) -> None:
        if threading.current_thread() is waiting and not opened.is_set():
            opened.set()
            go_on.wait(60)
        lock(descriptor, operation)

    def wait_for_it() -> None:
        with hold(tmp_path, "k"):
            held.append((lock_folder(tmp_path) / "k.lock").stat().st_ino)

    held: list[int] = []
    waiting = threading.Thread(target=wait_for_it)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", wait_before)
        with hold_if_free(tmp_path, "k") as is_mine:
            assert is_mine
            waiting.start()
            assert opened.wait(60)
        go_on.set()
        waiting.join(60)
    assert len(held) == 1


def test_locks_that_nobody_holds_are_dropped_and_others_stay(tmp_path: Path) -> None:
    for key in ("a", "b"):
        with hold(tmp_path, key):
            pass
    with hold(tmp_path, "c"):
        assert free_locks(tmp_path) == ["a", "b"]
        drop_locks(tmp_path, ["a", "b", "c"])
        assert [path.name for path in lock_folder(tmp_path).iterdir()] == ["c.lock"]
        assert is_held(tmp_path, "c")
