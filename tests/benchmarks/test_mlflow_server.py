"""The MLflow server for trying: its compose file, and the proxy that stands before it when it is disturbed."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from benchmarks.mlflow_server.proxy import CuttingProxy
from tests.clusters import free_port

FOLDER = Path(__file__).parents[2] / "benchmarks" / "mlflow_server"


def test_compose_file_starts_a_server_of_this_machine_on_a_database_that_is_ready() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    database, server = content["services"]["database"], content["services"]["server"]
    assert set(content["services"]) == {"database", "server"}
    assert "pg_isready" in database["healthcheck"]["test"]
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert [port.split(":")[0] for port in server["ports"]] == ["127.0.0.1"]
    words = server["command"].split()
    store = urlsplit(words[words.index("--backend-store-uri") + 1])
    login = (database["environment"]["POSTGRES_USER"], database["environment"]["POSTGRES_DB"])
    assert (store.hostname, store.username, store.path) == ("database", login[0], f"/{login[1]}")
    # No password is written down: whoever starts it says one.
    assert store.password == "${MLFLOW_PASSWORD}"
    assert database["environment"]["POSTGRES_PASSWORD"].startswith("${MLFLOW_PASSWORD:?")
    kept = {place.split(":")[0] for service in (database, server) for place in service["volumes"]}
    assert kept == set(content["volumes"])


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever asked was cut off."""


class Answers(BaseHTTPRequestHandler):
    done: list[str]
    wait: threading.Event

    def do_GET(self) -> None:
        self.done.append(self.path)
        if self.path.endswith("slow"):
            self.wait.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    Answers.done, Answers.wait = [], threading.Event()
    with Server(("127.0.0.1", 0), Answers) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        Answers.wait.set()
        found.shutdown()


def test_proxy_loses_the_first_answer_of_each_kind_and_cuts_what_takes_long(server: Any) -> None:
    port = free_port()
    proxy = CuttingProxy(port, server.server_address[1], seconds=0.5)

    def ask(path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return str(answer.read().decode())
        except RemoteDisconnected:
            return None

    paths = ["/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/runs/get?run=3"]
    assert [ask(path) for path in [*paths, *paths]] == [None, None, "ok", "ok"]
    assert Answers.done == [*paths, *paths]  # the server has done what it was asked
    assert proxy.lost == {"/api/2.0/mlflow/runs/create": 1, "/api/2.0/mlflow/runs/get": 1}
    assert (ask("/slow"), proxy.num_cut) == (None, 1)
    proxy.close()
