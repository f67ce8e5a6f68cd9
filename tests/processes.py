"""`vgt` in processes of its own that begin at once: forked from one that has torch and Lightning loaded already.

Each has its own folder, environment and output, can be sent signals and killed, and ends as the installed command does;
only what Python loads at the start is shared. Tests of the start itself, and of what is loaded, start Python anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from unittest.mock import patch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torchvision", "sklearn.datasets", "scipy.stats", "vgtemplate.training.run", "vgtemplate.cli.commands.train"]
)


def start_server() -> None:
    """Start the process that all are forked from, unless it runs; what it loads is told the number of threads once."""
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):
        forkserver.ensure_running()


def _serve(arguments: tuple[str, ...], cwd: str, environment: dict[str, str], output: str, is_leader: bool) -> None:
    if is_leader:
        os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # As the installed command: the working folder is not on the path.
    sys.path = [place for place in sys.path if place]
    sys.argv = ["vgt", *arguments]
    from vgtemplate.cli.main import main

    main()


class Running:
    """A command that runs: of `subprocess.Popen`, what tests use."""

    def __init__(self, *arguments: str, cwd: Path, environment: Mapping[str, str], is_leader: bool = False) -> None:
        """Start `vgt` with these arguments, in a folder, with an environment; the leader of a group if asked."""
        self.args = arguments
        self._output = tempfile.TemporaryDirectory()
        told = (arguments, str(cwd), dict(environment), self._output.name, is_leader)
        self._process = CONTEXT.Process(target=_serve, args=told)
        start_server()
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end; return the exit code, or minus the number of the signal that killed it."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for the end; return what was printed, on stdout and on stderr."""
        self.wait(timeout)
        out, err = (Path(self._output.name, name) for name in ("out", "err"))
        return tuple(path.read_text() if path.exists() else "" for path in (out, err))  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_vgt(*arguments: str, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `vgt` to its end."""
    running = Running(*arguments, cwd=cwd, environment=environment)
    out, err = running.communicate()
    return subprocess.CompletedProcess(arguments, running.wait(0), out, err)
