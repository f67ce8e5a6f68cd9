"""A proxy before a server that cuts what takes longer than it likes, and loses answers to what was done."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

_ASKED = re.compile(rb"(?:GET|POST|PUT|PATCH|DELETE) (/(?:[\w.-]+/){3,4}[\w-]+)")
_EACH = 4


@dataclass
class _Asked:
    """What is asked over a connection: since when an answer is waited for, and which kind of it is to be lost."""

    since: float
    lost: str | None = None


class CuttingProxy:
    """Passes bytes on; a connection ends, without a word, once an answer is waited for longer than `seconds`.

    Of each kind of request the first answer is lost, and then each fourth: the server has done what was asked.
    """

    def __init__(self, port: int, target: int, seconds: float) -> None:
        self._target, self._seconds, self.num_cut = target, seconds, 0
        self._asked, self.lost = Counter[str](), Counter[str]()
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def _serve(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError), ours, socket.create_connection(("127.0.0.1", self._target)) as theirs:
            asked = _Asked(time.monotonic())
            threading.Thread(target=self._pass_questions, args=(ours, theirs, asked), daemon=True).start()
            theirs.settimeout(0.1)
            self._pass_answers(ours, theirs, asked)
            # Closed alone, a socket that another thread reads from would stay as it is.
            for each in (ours, theirs):
                each.shutdown(socket.SHUT_RDWR)

    def _pass_answers(self, ours: socket.socket, theirs: socket.socket, asked: _Asked) -> None:
        while True:
            try:
                if not (content := theirs.recv(2**16)):
                    return
                if asked.lost is not None:
                    self.lost[asked.lost] += 1
                    return
                ours.sendall(content)
                asked.since = float("inf")
            except TimeoutError:
                if time.monotonic() - asked.since > self._seconds:
                    self.num_cut += 1
                    return

    def _pass_questions(self, ours: socket.socket, theirs: socket.socket, asked: _Asked) -> None:
        with contextlib.suppress(OSError):
            while content := ours.recv(2**16):
                if (found := _ASKED.match(content)) is not None:
                    kind = found[1].decode()
                    asked.lost = kind if self._asked[kind] % _EACH == 0 else None
                    self._asked[kind] += 1
                asked.since = time.monotonic()
                theirs.sendall(content)

    def close(self) -> None:
        self._server.close()
