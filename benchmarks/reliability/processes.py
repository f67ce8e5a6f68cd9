"""`vgt` in processes that are disturbed: started anew as a user does, or forked with all that it loads loaded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.processes import Running, preload, start_server

CALL = "from vgtemplate.cli.main import main; main()"
PATIENCE = 120.0
"""Seconds after which a process that should have ended has not."""
_LOADED = (
    *("vgtemplate.cli.main", "vgtemplate.training.run", "vgtemplate.training.served", "vgtemplate.cli.commands.train"),
    *("vgtemplate.cli.commands.track", "vgtemplate.figures.records", "mlflow", "mlflow.pytorch"),
    *("sqlalchemy.dialects.sqlite", "mlflow.store.tracking.sqlalchemy_store"),
)


class Ended(NamedTuple):
    """How a process ended: its exit code, or minus the signal that killed it; what it said."""

    code: int | None
    output: str
    errors: str
    left: list[str]
    """Processes that it left over."""


def load_all() -> None:
    """Start the process that others are forked from; what it loads it does not load again."""
    from vgtemplate.tracking.tracker import quiet_environment

    quiet_environment()
    preload(*_LOADED)
    start_server()


class Process:
    """A command that runs.

    Args:
        anew: Python starts for it, and loads all; else it is forked.
    """

    def __init__(self, arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str], anew: bool) -> None:
        self._popen: subprocess.Popen[str] | None = None
        self._running: Running | None = None
        self._others = _forked()
        if anew:
            # Files rather than pipes, which would be full at some time.
            self._files = [(folder / name).open("w+") for name in ("out", "err")]
            out, err = self._files
            call = [sys.executable, "-c", CALL, *arguments]
            self._popen = subprocess.Popen(
                call, cwd=folder, env=environment, start_new_session=True, text=True, stdout=out, stderr=err
            )
            self.pid = self._popen.pid
        else:
            self._running = Running(*arguments, cwd=folder, environment=environment, is_leader=True)
            self.pid = self._running.pid
            # On a busy machine it may be a while before it comes to its first line.
            while not self._running.has_begun:
                time.sleep(0.001)

    @property
    def code(self) -> int | None:
        """The exit code, or minus the signal that killed it; None while it runs."""
        return self._popen.poll() if self._popen is not None else self._running.poll()  # type: ignore[union-attr]

    def send(self, number: int) -> bool:
        """Send a signal; False if the process has ended."""
        if self.code is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def send_at(self, seconds: float, number: int) -> bool:
        """Send a signal so many seconds from now, unless it has ended by then."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.code is not None:
                return False
            time.sleep(min(left, 0.02))
        return self.send(number)

    def end(self, patience: float = PATIENCE) -> Ended:
        """Wait for the end, of what it started too; what has not ended by then is killed, and counts as left over."""
        deadline = time.monotonic() + patience
        while self.code is None and time.monotonic() < deadline:
            time.sleep(0.01)
        code = self.code
        left = self._left()
        grace = time.monotonic() + 5
        while code is not None and left and time.monotonic() < grace:
            time.sleep(0.02)
            left = self._left()
        names = [_name(process) for process in left]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return Ended(code, *self._said(), names)

    def _left(self) -> list[psutil.Process]:
        """Return the processes of its session, and those forked beside it, that still run."""
        found = [process for process in _forked() if process not in self._others]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return list(dict.fromkeys(found))

    def _said(self) -> tuple[str, str]:
        if self._running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._running.communicate(10)
            return "", ""
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return texts[0], texts[1]


def _forked() -> list[psutil.Process]:
    """Return the processes that run, forked from the one that has all loaded."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is None:
        return []
    found = psutil.Process(server).children(recursive=True)
    running = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[-60:]}"
    return str(process.pid)


SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
