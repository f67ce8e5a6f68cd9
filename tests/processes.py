"""`vgt`, or some code, in processes of their own that begin at once: forked from one that has torch loaded already.

Each has its own folder, environment and output, can be sent signals and killed, and ends as the installed command does;
only what Python loads at the start is shared. Tests of the start itself, and of what is loaded, start Python anew.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest.mock import patch

from vgtemplate.tracking.tracker import quiet_environment

CONTEXT = multiprocessing.get_context("forkserver")
LIBRARIES = ("torchvision", "sklearn.datasets", "scipy.stats")
TRACKING = ("mlflow", "sqlalchemy.dialects.sqlite", "mlflow.store.tracking.sqlalchemy_store")
COMMANDS = ("vgtemplate.cli.main", "vgtemplate.training.run", "vgtemplate.cli.commands.train")
get_context = multiprocessing.get_context
REPOSITORY = str(Path(__file__).parents[1])
CALL = "from vgtemplate.cli.main import main; main()"


def preload(*more: str) -> None:
    """Say which modules the process that all are forked from loads, before it is started; what is warm comes last."""
    CONTEXT.set_forkserver_preload([*LIBRARIES, *TRACKING, *COMMANDS, *more, "tests.warm", "tests.frozen"])


preload()


def start_server() -> None:
    """Start the process that all are forked from, unless it runs; what it loads is told the number of threads once."""
    path = os.pathsep.join([REPOSITORY, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    with patch.dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=path):
        quiet_environment()
        forkserver.ensure_running()


def forking(method: str | None = None) -> Any:
    """Stand for `multiprocessing.get_context`: what would be spawned is forked from the server too."""
    if method != "spawn":
        return get_context(method)
    start_server()
    return CONTEXT


def _fork_workers(address: str) -> None:
    """Have this process's workers forked from the server, as it was itself; it ends no sooner than the tests do."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server._forkserver_address, server.ensure_running = address, lambda: None
    forkserver.ensure_running = server.ensure_running
    multiprocessing.get_context = forking  # type: ignore[assignment]


def _serve(
    arguments: tuple[str, ...],
    cwd: str,
    environment: dict[str, str],
    output: str,
    is_leader: bool,
    address: str | None,
    code: str | None,
) -> None:
    if is_leader:
        os.setsid()
    if address is not None:
        _fork_workers(address)
    from vgtemplate.cli.main import main

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # As the installed command: its own folder is on the path, and the working folder is not.
    sys.path = [str(Path(sys.executable).parent), *(place for place in sys.path if place)]
    sys.argv = ["vgt", *arguments]
    if code is not None:
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
        return
    main()


class Running:
    """A command that runs: of `subprocess.Popen`, what tests use."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str],
        is_leader: bool = False,
        spawns: bool = False,
        code: str | None = None,
    ) -> None:
        """Start `vgt` with these arguments, in a folder, with an environment.

        Args:
            is_leader: of a group of processes, which can be sent a signal as one.
            spawns: its workers start Python anew, as they do for a user, and are its children.
            code: Python that is run instead of `vgt`, which it can call: `CALL`.
        """
        self.args = arguments
        self._output = tempfile.TemporaryDirectory()
        start_server()
        address = None if spawns else forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
        told = (arguments, str(cwd), dict(environment), self._output.name, is_leader, address, code)
        self._process = CONTEXT.Process(target=_serve, args=told)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    @property
    def has_begun(self) -> bool:
        """Whether it has its own output, or has ended: all that it does from then on is the command's."""
        return (Path(self._output.name) / "err").exists() or self.returncode is not None

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


def run_vgt(
    *arguments: str, cwd: Path, environment: Mapping[str, str], code: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `vgt`, or this code, to its end."""
    running = Running(*arguments, cwd=cwd, environment=environment, code=code)
    out, err = running.communicate()
    return subprocess.CompletedProcess(arguments, running.wait(0), out, err)


def holder_of(path: Path) -> int | None:
    """Return another process than this one that holds the lock of a file, as the kernel lists them."""
    with contextlib.suppress(OSError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if len(words) == 8 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                return int(words[4]) if int(words[4]) != os.getpid() else None
    return None
