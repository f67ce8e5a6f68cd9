"""A proxy before a server that cuts each connection on which an answer takes longer than it likes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class CuttingProxy:
    """Passes bytes on; a connection ends, without a word, once an answer is waited for longer than `seconds`."""

    def __init__(self, port: int, target: int, seconds: float) -> None:
        self._target, self._seconds, self.num_cut = target, seconds, 0
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError), ours, socket.create_connection(("127.0.0.1", self._target)) as theirs:
            asked = [time.monotonic()]
            threading.Thread(target=self._pass_questions, args=(ours, theirs, asked), daemon=True).start()
            theirs.settimeout(0.1)
            while True:
                try:
                    if not (content := theirs.recv(2**16)):
                        return
                    ours.sendall(content)
                    asked[0] = float("inf")
                except TimeoutError:
                    if time.monotonic() - asked[0] > self._seconds:
                        self.num_cut += 1
                        return

    def _pass_questions(self, ours: socket.socket, theirs: socket.socket, asked: list[float]) -> None:
        with contextlib.suppress(OSError):
            while content := ours.recv(2**16):
                asked[0] = time.monotonic()
                theirs.sendall(content)

    def close(self) -> None:
        self._server.close()
