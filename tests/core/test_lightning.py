"""Both packages of Lightning, each in a process of its own: the same bits, and neither loads the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
DISTRIBUTIONS = dict(zip(PACKAGES, ("pytorch-lightning", "lightning"), strict=True))
POPULATION = """
import json, sys
import {package} as pl
from vgtemplate import (ActivationProbe, ArmConfig, GradientProbe, PopulationData, PopulationModule, Recorder,
                        build_model, train_arm)
from vgtemplate.training.run import weights_digest

config = ArmConfig.model_validate({{
    "data": {{"dataset": "digits", "num_train": 64, "num_validation": 16, "num_test": 16, "batch_size": 16}},
    "model": {{"depth": 3, "width": 8}}, "training": {{"steps": 6, "validate_every": 3}},
}})
data = PopulationData(config.data, [0, 1], ".")
data.setup()
module = PopulationModule(build_model(config.model, data.input_shape, 10, [0, 1]), config, 2)
recorder = Recorder(2)
trainer = pl.Trainer(
    accelerator="cpu", max_steps=6, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    callbacks=[GradientProbe(recorder=recorder), ActivationProbe(recorder=recorder), recorder],
)
trainer.fit(module, datamodule=data)
trainer.test(module, datamodule=data, verbose=False)
record, _ = train_arm("arm", config, [0, 1], ".")
print(json.dumps({{
    "weights": weights_digest(module), "record": record.weights_sha256, "steps": recorder.steps,
    "series": {{name: values.tolist() for name, values in recorder.series().items()}},
    "accuracy": module.test_scores.tolist(), "versions": record.environment["versions"],
    "loaded": [name for name in {packages} if name in sys.modules],
}}))
"""
LIT = """
import torch
import {package} as pl


class LitNet(pl.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lr, self.net = lr, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Dropout(0.2),
                                                    torch.nn.ReLU(), torch.nn.Linear(8, 10))
        self.net[1].weight.requires_grad_(False)

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def test_step(self, batch, batch_idx):
        self.log("test_accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)
"""
ARM = """
  {name}:
    module: {{factory: "{name}:LitNet"}}
    data: {{dataset: digits, num_train: 64, num_test: 16, batch_size: 16}}
    training: {{steps: 6}}
    probes: {{every: 2}}
"""


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    environment |= {"VGT_RESULTS_DIR": str(folder / "results")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def train(folder: Path, packages: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`vgt train` on modules of these packages, by the arms' names."""
    for name, package in packages.items():
        (folder / f"{name}.py").write_text(LIT.format(package=package))
    (folder / "own.yaml").write_text("arms:" + "".join(ARM.format(name=name) for name in packages))
    code = (
        "import sys; sys.path = [p for p in sys.path if p]\n"
        "import atexit; from vgtemplate.cli.main import main\n"
        f"loaded = lambda: [name for name in {PACKAGES} if name in sys.modules]\n"
        "atexit.register(lambda: print('loaded:', *loaded(), file=sys.stderr))\n"
        "main()"
    )
    return run(code, folder, "train", "own.yaml", "--seeds", "2", "--no-tracking", "--accelerator", "cpu")


@pytest.mark.slow
def test_population_trains_under_the_trainer_of_either_to_the_same_bits(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for package in PACKAGES:
        done = run(POPULATION.format(package=package, packages=PACKAGES), tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
        assert found[-1].pop("loaded") == [package]
        assert found[-1].pop("versions").keys() & set(DISTRIBUTIONS.values()) == {DISTRIBUTIONS[package]}
    assert found[0]["steps"] == [0, 2, 4, 5]
    assert found[0] == found[1]


@pytest.mark.slow
def test_module_of_either_trains_by_the_command_to_the_same_bits(tmp_path: Path) -> None:
    found = []
    for name, package in zip(("old", "new"), PACKAGES, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        done = train(folder, {name: package})
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == f"loaded: {package}"
        frozen = "frozen: no gradient, and it does not move: net.1"
        assert done.stdout.count(f"note: {name}: {frozen}") == 1
        (path,) = folder.glob("results/*/record.json")
        found.append(json.loads(path.read_bytes()))
        assert "test_accuracy" in found[-1]["labels"]["logged"]
        assert DISTRIBUTIONS[package] in found[-1]["environment"]["versions"]
        assert frozen in found[-1]["environment"]["not_seen"]
    assert found[0]["weights_sha256"] == found[1]["weights_sha256"]
    assert found[0]["series_sha256"] == found[1]["series_sha256"]


@pytest.mark.slow
def test_modules_of_both_at_once_are_one_line(tmp_path: Path) -> None:
    done = train(tmp_path, {"old": PACKAGES[0], "new": PACKAGES[1]})
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "LitNet: makes" in line]
    assert "module.factory new:LitNet: makes a LitNet of lightning.pytorch" in line
    assert "pytorch_lightning" in line
