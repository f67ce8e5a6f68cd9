"""A file appears whole or not at all: on a full disk, under SIGKILL, and with many writers. Real processes."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from vgtemplate.atomic import write_whole

WRITE = """
import os, signal, sys
from pathlib import Path
from vgtemplate.atomic import write_whole

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2]:
    setattr({"fsync": os, "chmod": Path, "replace": Path}[sys.argv[2]], sys.argv[2], die)
try:
    write_whole(Path(sys.argv[1]), b"new" * 10_000)
except OSError as error:
    print(error.strerror)
"""


def limit() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def in_process(path: Path, kill_at: str = "", full: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITE, str(path), kill_at],
        capture_output=True,
        text=True,
        preexec_fn=limit if full else None,
        timeout=60,
        check=False,
    )


def write_lines(file: IO[bytes]) -> None:
    file.write(b"a\n")
    file.write(b"b\n")


def test_content_is_written_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    cases = {"text with ä": "text with ä".encode(), b"\0bytes": b"\0bytes", write_lines: b"a\nb\n"}
    for content, written in cases.items():
        write_whole(path, content)
        assert path.read_bytes() == written
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert list(tmp_path.iterdir()) == [path]


def test_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert in_process(path, full=True).stdout == os.strerror(27) + "\n"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_process_killed_while_writing_leaves_what_was_there(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert in_process(path, moment).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert in_process(path).returncode == 0
    assert path.read_bytes() == b"new" * 10_000


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_interruption_leaves_nothing_behind(tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os if moment == "fsync" else Path, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", "new")
    assert list(tmp_path.iterdir()) == []


def test_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    path.symlink_to(victim)
    write_whole(path, "new")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([number]) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(target=lambda content=content: [write_whole(path, content) for _ in range(10)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
