"""The worked examples of people's networks: each trains as it stands, with fewer seeds and steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import load_experiment, resolve_arms
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = sorted((REPOSITORY / "experiments" / "own").glob("*.yaml"))
FEWER = ["training.epochs=null", "training.steps=3", "probes.every=2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*one after the other")
@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_an_example_trains_from_any_working_folder(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"`vgt train {file.relative_to(REPOSITORY)}`" in file.read_text()
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(file, ExperimentConfig)
    assert "0." in experiment.notes
    ((name, config),) = resolve_arms(file, experiment, FEWER).items()
    record, _ = train_arm(name, config, [0, 1], tmp_path, Hardware("cpu"))
    for series in ("train_loss", "test_accuracy"):
        assert len(record.series[series]) == 2
        assert np.isfinite(record.series[series]).all(), series
    # Gradients of a hidden layer at least and of the output are seen in every network.
    assert np.isfinite(record.series["gradient_rms"]).any(axis=(0, 1)).sum() >= 2
