"""The whole command line against MLflow stores that break in every way; then `vgt track sync` against whole ones."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vgtemplate.lab.claims import load_claims
from vgtemplate.lab.plan import plan_claims, select_claims
from vgtemplate.lab.worker import run_task

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).parents[3] / "experiments" / "claims"
CLAIMS = ["chain-rule-product", "derivative-bounds"]
LATER = "`vgt track sync` sends them later"


class Proxy(ThreadingHTTPServer):
    """Stands before a server; `behave` says what becomes of each request, from its number and path."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.port = port
        self.count = 0
        self.behave: Callable[[int, str], str] = lambda number, path: "pass"
        super().__init__(("127.0.0.1", 0), Forward)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Forward(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def handle_any(self) -> None:
        self.server.count += 1
        action = self.server.behave(self.server.count, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if action == "hang":
            time.sleep(3)
        elif action == "fail":
            self.send_error(500)
        elif action == "pass":
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names that the base class calls


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[tuple[int, Path]]:
    """A real MLflow server: its port and its database."""
    folder = tmp_path_factory.mktemp("server")
    database = Path(shutil.copy(empty_database, folder / "mlflow.db"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [
            *command,
            "--backend-store-uri",
            f"sqlite:///{database}",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ],
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield port, database
    os.killpg(process.pid, 15)
    process.wait(30)


@pytest.fixture
def proxy(server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxy = Proxy(server[0])
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the records of the claims."""
    folder = tmp_path_factory.mktemp("judged")
    plan = plan_claims(select_claims(load_claims(EXPERIMENTS), CLAIMS), EXPERIMENTS, "digits", range(2), folder)
    for job in plan.jobs.values():
        run_task(job, folder, folder, "cpu")
    return folder


@pytest.fixture
def command(
    call_vgt: Callable[..., Any], judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The command line over a copy of those records."""
    shutil.copytree(judged, tmp_path / "results")
    monkeypatch.setenv("VGT_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("VGT_CLAIMS_DIR", str(EXPERIMENTS))
    return call_vgt


def runs(database: Path) -> list[tuple[str, str, str]]:
    """Every run that is not deleted: experiment, name, status."""
    query = (
        "select e.name, r.name, r.status from runs r join experiments e using (experiment_id) "
        "where r.lifecycle_stage = 'active' order by 1, 2"
    )
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


def forget(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("update runs set lifecycle_stage = 'deleted'")


def reproduce(command: Callable[..., Any]) -> str:
    ended = command("reproduce", *CLAIMS, "--dataset", "digits", "--seeds", "2")
    text = " ".join((ended.out + ended.err).split())
    assert ended.code == 0, text
    assert "2 confirmed" in text
    assert "Traceback" not in text
    return text


def assert_sync_completes_once(command: Callable[..., Any], database: Path) -> None:
    ended = command("track", "sync")
    assert ended.code == 0, ended.out
    # An exact claim's only run is its check.
    found = runs(database)
    assert [experiment for experiment, _, _ in found] == sorted(CLAIMS)
    assert {status for _, _, status in found} == {"FINISHED"}
    again = command("track", "sync")
    assert "has missed nothing" in again.out
    assert runs(database) == found


BEHAVIOURS: dict[str, Callable[[int, str], str]] = {
    "500 on everything": lambda number, path: "fail",
    "never answers": lambda number, path: "hang",
    "closes every connection": lambda number, path: "close",
    "500 where values are logged": lambda number, path: "fail" if "log-batch" in path else "pass",
    "500 where files are kept": lambda number, path: "fail" if "mlflow-artifacts" in path else "pass",
    "killed before a run is made": lambda number, path: "pass" if number < 3 else "close",
    "killed in the middle of a run": lambda number, path: "pass" if number < 9 else "close",
    "killed in the middle of the second run": lambda number, path: "pass" if number < 25 else "close",
    "every third request is lost": lambda number, path: "close" if number % 3 == 0 else "pass",
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_broken_server_costs_a_line_and_no_run(
    behaviour: str, command: Callable[..., Any], proxy: Proxy, server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first takes its time: MLflow's server is started, and loads all of MLflow."""
    forget(server[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    proxy.behave = BEHAVIOURS[behaviour]
    text = reproduce(command)
    assert 1 <= text.count(LATER) <= 2
    if behaviour == "never answers":
        assert proxy.count <= 2
    proxy.behave = lambda number, path: "pass"
    assert_sync_completes_once(command, server[1])


def test_refused_connection_costs_a_line_and_no_run(
    command: Callable[..., Any], server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(server[1])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert reproduce(command).count(LATER) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server[0]}")
    assert_sync_completes_once(command, server[1])


def test_database_that_another_process_has_locked_costs_a_line_and_no_run(
    command: Callable[..., Any], empty_database: Path, tmp_path: Path
) -> None:
    database = Path(shutil.copy(empty_database, tmp_path / "results" / "mlflow.db"))
    with sqlite3.connect(database) as holder:
        holder.execute("begin exclusive")
        text = reproduce(command)
        holder.rollback()
    assert text.count(LATER) == 1
    assert "database is locked" in text
    assert_sync_completes_once(command, database)


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_damaged_database_is_left_as_it_is(
    content: bytes, command: Callable[..., Any], empty_database: Path, tmp_path: Path
) -> None:
    database = tmp_path / "results" / "mlflow.db"
    database.write_bytes(content)
    text = reproduce(command)
    if content:  # SQLite takes an empty file for an empty database
        assert text.count(LATER) == 1
        assert database.read_bytes() == content
        shutil.copy(empty_database, database)
    assert_sync_completes_once(command, database)
