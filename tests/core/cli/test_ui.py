import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from click.testing import CliRunner

from vgtemplate.cli.commands.ui import ui
from vgtemplate.config.errors import UserError
from vgtemplate.records import Record, write_record
from vgtemplate.tracking.outbox import Run, missed, remember
from vgtemplate.tracking.runs import Extras
from vgtemplate.tracking.tracker import Tracker

SENT = Run("sigmoid-vanishes", "plain", "k1")


def refusal(*arguments: str) -> str:
    done = CliRunner().invoke(ui, arguments)
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_without_a_database_the_user_is_sent_to_what_makes_one(results):
    assert "run `vgt train` first" in refusal()
    assert not results.exists()


def test_missing_database_of_the_users_own_is_named(results, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/team.db")
    assert f"{tmp_path}/team.db" in refusal()


def test_server_elsewhere_is_pointed_at_without_its_password(results, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://alice:secret@team.example")
    done = CliRunner().invoke(ui)
    assert (done.exit_code, done.output) == (0, "MLFLOW_TRACKING_URI is set: the UI is at https://team.example\n")


def test_port_in_use_is_named_with_the_next_one(results):
    results.mkdir()
    (results / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("--port", str(port))
    assert f"127.0.0.1:{port}" in said
    assert f"--port {port + 1}" in said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def own_address() -> str:
    """This machine's address on a network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())


def write_sent_record(results: Path) -> None:
    results.mkdir(parents=True)
    series = {"gradient_rms": np.full((2, 1, 3), 0.1)}
    write_record(results, Record("k1", "plain", {"model": {"depth": 3}}, (0, 1), {"name": "digits"}, {}, 1.0, series))


@pytest.fixture
def server(results: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real command over a store that holds one run, and the address it has printed."""
    write_sent_record(results)
    assert Tracker(results, Extras(lambda record, arm: {"gradient_heat_map.png": b"a picture"})).send(SENT) is None
    code = "from vgtemplate.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ui", "--port", str(free_port())],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"http://[^/ ]+", lines[1])
        assert found, (lines, process.stderr and process.stderr.read())
        yield process, found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def is_listening(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def get(address: str) -> bytes:
    with urlopen(address, timeout=30) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_ui_shows_runs_and_pictures_on_this_machine_only_and_is_a_store_itself(results, server, monkeypatch, tmp_path):
    process, address = server
    port = int(address.rsplit(":", 1)[1])
    assert b"<title>MLflow" in get(address)
    with sqlite3.connect(results / "mlflow.db") as database:
        ((run,),) = database.execute("select run_uuid from runs").fetchall()
    assert get(f"{address}/get-artifact?path=gradient_heat_map.png&run_uuid={run}") == b"a picture"
    # On Linux 127.0.0.2 is this machine too, and answers for a server that listens on every address.
    assert [host for host in {own_address(), "127.0.0.2"} - {"127.0.0.1"} if is_listening(host, port)] == []

    # Records of another folder reach it over HTTP, once.
    other = tmp_path / "other"
    write_sent_record(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    remember(other, Run("tanh-beats-sigmoid", "tanh", "k1"))
    for _ in range(2):
        tracker = Tracker(other, Extras(lambda record, arm: {"gradient_heat_map.png": b"another"}))
        assert [tracker.send(parcel) for parcel in missed(other)] in ([None], [])
    with sqlite3.connect(results / "mlflow.db") as database:
        names = database.execute("select name, status from runs order by name").fetchall()
        ((run,),) = database.execute("select run_uuid from runs where name = 'tanh'").fetchall()
    assert names == [("plain", "FINISHED"), ("tanh", "FINISHED")]
    assert get(f"{address}/get-artifact?path=gradient_heat_map.png&run_uuid={run}") == b"another"

    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert said.splitlines()[-1] == "stopped"
    assert not is_listening("127.0.0.1", port)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_end_leaves_a_server_behind(server: Any, number: int) -> None:
    process, address = server
    port = int(address.rsplit(":", 1)[1])
    assert is_listening("127.0.0.1", port)
    process.send_signal(number)
    process.communicate(timeout=60)
    # Nobody waits for the server of a process that was killed.
    deadline = time.monotonic() + (60 if number == signal.SIGKILL else 0)
    while is_listening("127.0.0.1", port) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not is_listening("127.0.0.1", port)
