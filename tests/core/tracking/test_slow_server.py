"""A server that sends a byte now and then holds nobody up for longer than agreed; later everything is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.tracking import tracker as tracking
from vgtemplate.tracking.deadline import within
from vgtemplate.tracking.outbox import Run, is_sent, missed
from vgtemplate.tracking.tracker import Tracker

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"


def _drip(connection: socket.socket, seconds: float) -> None:
    with connection:
        try:
            connection.recv(65536)
            connection.sendall(ANSWER)
            while True:
                time.sleep(seconds)
                connection.sendall(b" ")
        except OSError:
            return


@pytest.fixture
def slow_server() -> Iterator[str]:
    """The address of a server on this machine whose answers never end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_drip, args=(connection, 0.1), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow  # mlflow is imported
def test_server_that_drips_is_given_up_and_the_run_sent_later(
    slow_server: str, results: Path, database: Path, store_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_record("k1")
    run = Run("claim", "plain", "k1")
    monkeypatch.setattr(tracking, "ANSWER_SECONDS", 1.0)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", slow_server)
        told = Tracker(results).send(run)
        assert told == f"MLflow at {slow_server} cannot be reached: no answer within 1 s"
        assert missed(results) == [run]
    assert Tracker(results).send(run) is None
    assert is_sent(results, run)
    assert missed(results) == []


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("ResponseError('too many 503 error responses')", "too many 503 error responses"),
        ("NewConnectionError('<HTTPConnection at 0x7>: Failed: [Errno 111] Refused')", "[Errno 111] Refused"),
        ("ProtocolError('Aborted.', ConnectionResetError(104, 'Reset by peer'))", "Reset by peer"),
        ("ProtocolError('Aborted.', RemoteDisconnected('Remote end closed'))", "Remote end closed"),
        ("NameResolutionError(\"<HTTPConnection>: No such host 'h' (-2)\")", "No such host 'h' (-2)"),
    ],
)
def test_reason_of_a_failed_request_is_its_innermost_cause(cause: str, reason: str) -> None:
    text = f"HTTPConnectionPool(host='h', port=9): Max retries exceeded with url: /api (Caused by {cause})"
    assert tracking._reason(OSError(text), "http://h:9") == reason


def test_deadline_returns_and_raises_what_the_work_does() -> None:
    assert within(60, lambda: 3) == 3
    with pytest.raises(KeyError):
        within(60, lambda: dict[str, int]()["a"])
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        within(0.01, lambda: time.sleep(60))
