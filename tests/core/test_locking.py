"""Locks where the file system knows none, in real processes whose flock fails as such a file system's does."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from vgtemplate.locking import acquire

HOLDER = """
import errno, fcntl, os, sys, time
from pathlib import Path
def flock(*_): raise OSError(getattr(errno, sys.argv[2]), os.strerror(getattr(errno, sys.argv[2])))
fcntl.flock = flock
from filelock import Timeout
from vgtemplate.locking import acquire
try:
    lock = acquire(Path(sys.argv[1]), float(sys.argv[3]))
except Timeout:
    sys.exit("held by another")
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


@contextmanager
def holder(path: Path, code: str, seconds: float = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock, or has failed to, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", HOLDER, str(path), code, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_lock_without_flock_is_held_by_one_process_and_taken_over_from_a_dead_one(tmp_path: Path, code: str) -> None:
    path = tmp_path / "k.lock"
    acquire(path).release()  # its file stays, and holds nobody up
    with holder(path, code) as first:
        assert first_line(first) == "held\n"
        with holder(path, code) as second:
            assert second.wait(60) == 1
            assert "held by another" in second.communicate()[1]
        first.kill()
        first.wait()
    # Whoever died is known by its process, machine and start.
    with holder(path, code, seconds=30) as third:
        assert first_line(third) == "held\n"
        third.communicate("")
        assert third.returncode == 0


def test_another_refusal_is_told(tmp_path: Path) -> None:
    with holder(tmp_path / "k.lock", "EIO") as process:
        assert "Input/output error" in process.communicate()[1]


def test_lock_in_a_process_of_its_own_kind(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lock = acquire(tmp_path / "k.lock", 0)
        with pytest.raises(Timeout):
            acquire(tmp_path / "k.lock", 0)
        lock.release()
        acquire(tmp_path / "k.lock", 0).release()
