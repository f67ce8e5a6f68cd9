"""`vgt ui`: the MLflow UI over the results folder, on this machine only unless asked otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import click

from vgtemplate.cli import keeper
from vgtemplate.cli.console import say
from vgtemplate.cli.paths import results_dir
from vgtemplate.config.errors import UserError, unknown_name
from vgtemplate.config.extras import require
from vgtemplate.records import make_results_folder
from vgtemplate.tracking.outbox import (
    Description,
    Store,
    find_store,
    identifier,
    known_experiments,
    newest_experiment,
)
from vgtemplate.tracking.tracker import quiet_environment
from vgtemplate.tracking.view import link_to_table

_START_SECONDS = 120.0
# MLflow's server needs no job runner for looking at runs.
_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@click.command()
@click.argument("experiment", required=False, metavar="[EXPERIMENT]")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Where to listen.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Whom to answer; anything but this machine lets others read and change the runs.",
)
@click.option(
    "--browser/--no-browser", default=True, help="Open a browser, where there is a screen.  [default: browser]"
)
def ui(experiment: str | None, port: int, host: str, browser: bool) -> None:
    """Start the MLflow UI on the comparison of an experiment's arms; Ctrl-C stops it.

    EXPERIMENT is the name of a YAML file or of a claim; the one that was trained last if it is not given.
    """
    results = results_dir()
    if experiment is not None and experiment not in (known := known_experiments(results)):
        raise UserError(unknown_name("experiment", experiment, known))
    store = find_store(results)
    if store.is_server:
        say(f"MLFLOW_TRACKING_URI is set: the UI is at {store.place}")
        return
    require("mlflow")
    if store.database is not None and not store.database.exists():
        raise UserError(f"{store.database}: there is nothing to show yet; run `vgt train` first")
    _require_free(host, port)
    quiet_environment()
    say("starting the MLflow UI, which takes some seconds ...")
    log = make_results_folder(results) / "mlflow-ui.log"
    with _stopped_by_signals(), _running(_command(store, host, port), log) as server:
        if not _is_up(server, host, port):
            raise UserError(f"the MLflow server does not start; see {log}")
        shown = experiment or newest_experiment(results)
        address = f"{_address(host, port)}/{_page(results, shown)}"
        say(f"MLflow UI: {address} (Ctrl-C stops it)")
        if shown is not None:
            say(f"This is {shown}; `vgt ui EXPERIMENT` opens another, and its charts are behind the second button.")
        if browser and _has_screen():
            webbrowser.open(address)
        server.wait()
        raise UserError(f"the MLflow server ended by itself with code {server.returncode}; see {log}")


def _page(results: Path, experiment: str | None) -> str:
    """Return the page of an experiment's arms; that of all experiments where the store does not have it."""
    known = None if experiment is None else identifier(results, Description(experiment, ""))
    return "#/experiments?workflowType=machine_learning" if known is None else link_to_table(known)


def _has_screen() -> bool:
    """Say whether somebody sits in front of this: without a screen a browser would open in the terminal."""
    has_screen = sys.platform in {"darwin", "win32"} or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return has_screen and sys.stdout.isatty()


def _command(store: Store, host: str, port: int) -> list[str]:
    artifacts = ["--default-artifact-root", store.artifacts.as_uri()] if store.artifacts else []
    listen = ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, *artifacts, *listen]


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _require_free(host: str, port: int) -> None:
    """Raise UserError if nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); try --port {port % 65535 + 1}") from None


def _is_up(server: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait until the server answers; return False if it ends, or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urlopen(f"{_address(host, port)}/health", timeout=2):
            return True
        time.sleep(0.2)
    return False


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server in a process group of its own, and leave no process of it behind, even if this one is killed."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, keeper.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_ENVIRONMENT, **os.environ},
            start_new_session=True,
        )
    try:
        yield server
    finally:
        for number, patience in ((signal.SIGTERM, keeper.STOP_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(patience)


_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turn a request to end this process into KeyboardInterrupt, and end quietly on it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    except KeyboardInterrupt:
        say("\nstopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
