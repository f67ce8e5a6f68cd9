"""Shared fixtures: folders of the test's own, and real MNIST where it can be had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vgtemplate.data.files import data_root, is_present


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder that only this test sees."""
    folder = tmp_path / "results"
    monkeypatch.setenv("VGT_RESULTS_DIR", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def mnist_root() -> Path:
    """The folder that holds real MNIST; required where VGT_DATA_DIR is set, as it is in CI."""
    root = data_root()
    if not is_present("mnist", root) and not os.environ.get("VGT_DATA_DIR"):
        pytest.skip("MNIST is not in data/: run `vgt data fetch mnist`, or set VGT_DATA_DIR")
    return root
