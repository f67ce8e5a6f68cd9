"""A Dask scheduler and its workers in processes of their own, on loopback, that begin at once (`tests.processes`)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import dask
import psutil

from tests.processes import CONTEXT, _fork_workers, holder_of, preload, start_server

DASK = ("distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "vgtemplate.lab.cluster.remote")
preload(*DASK)

Prepare = Callable[[], None]
"""What makes a worker another one than the tests' own process; a function of a module, since it is sent there."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _begin(folder: str, environment: Mapping[str, str], output: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    dask.config.refresh()  # which was read when it was loaded, in the process that this one is forked from
    for number in (1, 2):
        os.dup2(os.open(f"{folder}/{output}", os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)


def _schedule(port: int, folder: str, environment: Mapping[str, str]) -> None:
    _begin(folder, environment, "scheduler.log")
    from distributed.cli.dask_scheduler import main

    main([*("--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show")], standalone_mode=False)


def _work(
    address: str,
    folder: str,
    environment: Mapping[str, str],
    prepare: Prepare | None,
    server: str,
    more: list[str],
) -> None:
    _begin(folder, environment, "worker.log")
    _fork_workers(server)
    if prepare is not None:
        prepare()
    from distributed.cli.dask_worker import main

    settings = ["--no-nanny", "--host", "127.0.0.1", "--no-dashboard", "--memory-limit", "0", *more]
    main([address, *settings], standalone_mode=False)


class Cluster:
    """A scheduler, and the workers that are started with it; all end with `close`.

    Args:
        folder: the scheduler's and the workers' working folder, and in it the scratch folder that workers share.
        settings: of Dask, as variables of the environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._settings = {"OMP_NUM_THREADS": "1", "VGT_CHECKPOINT_SECONDS": "0.05", **settings}
        self._workers: list[Any] = []
        folder.mkdir(exist_ok=True)
        start_server()
        self.scheduler = self._start_scheduler()

    def _start_scheduler(self) -> Any:
        told = (self.port, str(self.folder), self._settings)
        process = CONTEXT.Process(target=_schedule, args=told)
        process.start()
        wait_until(lambda: _answers(self.port))
        return process

    def restart_scheduler(self) -> None:
        """Start a scheduler where the one that was killed has been."""
        self.scheduler.join()
        self.scheduler = self._start_scheduler()

    def start_worker(self, address: str = "", prepare: Prepare | None = None, **environment: str) -> Any:
        """Start a worker with one thread and return its process; it is told another address where one is given."""
        server = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
        arguments = ["--nthreads", "1", "--local-directory", str(self.folder / "scratch"), "--death-timeout", "60"]
        told = (address or self.address, str(self.folder), self._settings | environment, prepare, server, arguments)
        process = CONTEXT.Process(target=_work, args=told)
        process.start()
        self._workers.append(process)
        return process

    @property
    def scratch(self) -> Path:
        """Where the workers keep records and checkpoints until they are fetched."""
        return self.folder / "scratch" / "dask-scratch-space" / "vgtemplate"

    def holder(self) -> int | None:
        """Return the process that trains an arm; None while nobody does."""
        locks = (self.scratch / ".locks").glob("*.lock")
        return next((pid for path in locks if (pid := holder_of(path)) is not None), None)

    def close(self) -> None:
        for process in [*self._workers, self.scheduler]:
            if process.is_alive():
                process.kill()
            process.join()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def stop(pid: int) -> None:
    psutil.Process(pid).suspend()


def resume(pid: int) -> None:
    psutil.Process(pid).resume()


def is_asked_to_end(pid: int) -> bool:
    """Say whether SIGTERM waits for a process that is stopped, as the kernel keeps it."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Wire:
    """A TCP proxy before a scheduler: it can be cut, and it keeps what goes through, message by message."""

    def __init__(self, port: int) -> None:
        self.port, self._to = free_port(), port
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.largest, self.seen = 0, bytearray()
        self.keeps = False
        self._pairs: list[socket.socket] = []
        self._is_cut = False
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._server.accept()
                if self._is_cut:
                    ours.close()
                    continue
                theirs = socket.create_connection(("127.0.0.1", self._to))
                self._pairs += [ours, theirs]
                for source, target in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what comes as it comes; of each message the length comes first, in eight bytes."""
        head, left = b"", 0
        with contextlib.suppress(OSError):
            while content := source.recv(2**20):
                target.sendall(content)
                if self.keeps:
                    self.seen += content
                while content:
                    if left:
                        left, content = max(0, left - len(content)), content[left:]
                        continue
                    head, content = head + content[: 8 - len(head)], content[8 - len(head) :]
                    if len(head) == 8:
                        (left,), head = struct.unpack("<Q", head), b""
                        self.largest = max(self.largest, left)
        # Closed alone, a socket that another thread reads from would stay as it is.
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def cut(self) -> None:
        """Cut every connection, and refuse new ones until `mend`."""
        self._is_cut = True
        for each in self._pairs:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._server.close()
