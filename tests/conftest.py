"""Shared fixtures: folders of the test's own, and real MNIST where it can be had."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.processes import run_vgt
from vgtemplate.data.files import data_root, is_present


def pytest_configure() -> None:
    """Let what the tests start hear Ctrl-C: a shell makes what it runs in the background deaf to it, children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what tries the whole repository: it takes longest, and at the end a worker would be alone with it."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_collection_finish() -> None:
    """Let no collection of garbage look through what is loaded by now: every training ends with one."""
    importlib.import_module("tests.frozen")


@dataclass(frozen=True)
class Ended:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def refused(self) -> bool:
        """Whether it ended as it must on a user's mistake: exit code 2, one line on stderr, nothing on stdout."""
        line, *more = self.err.splitlines() or [""]
        return (self.code, self.out, more) == (2, "", []) and line.startswith("error: ") and len(line) > 10

    @property
    def succeeded(self) -> bool:
        return (self.code, self.err) == (0, "")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No MLflow server is named: MLflow writes the one that it was told of into the environment, where it stays."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def call_vgt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run the real command line in this process, in a folder of its own, with a network that reaches nothing."""
    from vgtemplate.cli.main import main

    def download(*_arguments: object) -> None:
        raise OSError("this test has no network")

    monkeypatch.setattr("vgtemplate.data.fetch._download", download)
    monkeypatch.chdir(tmp_path)
    for variable in ("VGT_RESULTS_DIR", "VGT_DATA_DIR", "VGT_CLAIMS_DIR"):
        monkeypatch.delenv(variable, raising=False)

    def call(*arguments: str) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        with (
            patch.object(sys, "argv", ["vgt", *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
        assert isinstance(code, int)
        return Ended(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder that only this test sees."""
    folder = tmp_path / "results"
    monkeypatch.setenv("VGT_RESULTS_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with nothing of ours in it: creating one takes seconds, copying it does not."""
    from vgtemplate.tracking.outbox import Description
    from vgtemplate.tracking.tracker import Tracker

    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert Tracker(folder).send(Description("scratch", "")) is None
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("delete from experiment_tags")
        database.execute("delete from experiments where name = 'scratch'")
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds real MNIST; where VGT_DATA_DIR is set, as it is in CI, it has to be there."""
    root = data_root().resolve()
    if is_present("mnist", root):
        return root
    if os.environ.get("VGT_DATA_DIR"):
        pytest.fail(f"VGT_DATA_DIR is set, and MNIST is not in {root}")
    pytest.skip("MNIST is not in data/: run `vgt data fetch mnist`, or set VGT_DATA_DIR")


@pytest.fixture
def vgt(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command in a process and a folder of its own, without data sets."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {"VGT_RESULTS_DIR": str(tmp_path / "results"), "VGT_DATA_DIR": str(tmp_path / "data")}
        return run_vgt(*arguments, cwd=tmp_path, environment=os.environ | settings | environment)

    return run
