"""People's own data and LightningModules from a YAML, in processes of their own, killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.processes import Running
from vgtemplate.records import Record, read_all

CODE = """
import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset


def circle(noise):
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 500)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * rng.standard_normal((500, 2))
    return x[:400], angle[:400], x[400:], angle[400:]


class GAN(pl.LightningModule):
    def __init__(self, width):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def training_step(self, batch, batch_idx):
        x, _ = batch
        generator, critic = self.optimizers()
        fake = self.generator(torch.randn(len(x), 4, device=self.device))
        right, wrong = torch.ones(len(x), 1, device=self.device), torch.zeros(len(x), 1, device=self.device)
        told = F.binary_cross_entropy_with_logits
        critic.zero_grad()
        self.manual_backward(told(self.critic(x), right) + told(self.critic(fake.detach()), wrong))
        critic.step()
        generator.zero_grad()
        loss = told(self.critic(fake), right)
        self.manual_backward(loss)
        generator.step()
        return loss

    def test_step(self, batch, batch_idx):
        fake = self.generator(torch.randn(len(batch[0]), 4, device=self.device))
        self.log("test_radius", fake.norm(dim=1).mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.generator.parameters(), 1e-3), torch.optim.Adam(self.critic.parameters(), 1e-3)


class Noisy(Dataset):
    classes = ("left", "right")

    def __init__(self, num, noise):
        self.num, self.noise = num, noise

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        side = index % 2
        return torch.full((3,), 2.0 * side - 1) + self.noise * torch.randn(3) + np.random.random(), side


def datasets(noise):
    return Noisy(90, noise), Noisy(30, noise)


class Loaders(pl.LightningDataModule):
    def setup(self, stage):
        x = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
        self.num_classes, self.data = 2, TensorDataset(x, (x[:, 0] > 0).long())

    def train_dataloader(self):
        return DataLoader(self.data, 25, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.data, 60)

    test_dataloader = val_dataloader
"""
EXPERIMENT = """
arms:
  gan:
    module: {factory: "own_code:GAN", settings: {width: 8}}
    data: {factory: "own_code:circle", settings: {noise: 0.05}, batch_size: 40}
    training: {steps: 25}
  regression:
    model: {depth: 2, width: 16, activation: tanh}
    data: {factory: "own_code:circle", settings: {noise: 0.05}, batch_size: 40, num_validation: 50}
    optimiser: {lr: 0.02}
    training: {steps: 60, validate_every: 20, loss: mean_squared_error}
  items:
    model: {depth: 2, width: 8}
    data: {factory: "own_code:datasets", settings: {noise: 0.5}, batch_size: 20}
    training: {steps: 60}
  loaders:
    model: {depth: 2, width: 8, dropout: 0.2}
    data: {factory: "own_code:Loaders"}
    training: {steps: 60, validate_every: 20}
"""
Vgt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """A folder with code of one's own, and the experiment that names it."""
    (tmp_path / "own_code.py").write_text(CODE)
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    return tmp_path


def record_of(folder: Path) -> Record:
    (record,) = read_all(folder)
    return record


def kill_when_saved(folder: Path, arguments: list[str], results: Path, saves: int) -> None:
    """Start `vgt train` and SIGKILL it once it has written so many checkpoints."""
    settings = {"VGT_RESULTS_DIR": str(results), "VGT_CHECKPOINT_SECONDS": "0"}
    process = Running(*arguments, cwd=folder, environment=os.environ | settings)
    seen = {(path, path.stat().st_mtime_ns) for path in (results / ".checkpoints").rglob("*.ckpt")}
    new: set[tuple[Path, int]] = set()
    while len(new) < saves and process.poll() is None:
        for path in (results / ".checkpoints").rglob("*.ckpt"):
            new |= {(path, path.stat().st_mtime_ns)} - seen
        time.sleep(0.002)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "seeds"), [("gan", 3), ("regression", 3), ("items", 3), ("loaders", 3)])
def test_killed_and_resumed_it_ends_bit_for_bit_the_same(experiment: Path, vgt: Vgt, arm: str, seeds: int) -> None:
    arguments = ["train", "own.yaml", "--arm", arm, "--seeds", str(seeds), "--no-tracking"]
    done = vgt(*arguments, VGT_RESULTS_DIR=str(experiment / "whole"))
    assert done.returncode == 0, done.stderr
    for saves in (4, 12, 6):
        kill_when_saved(experiment, arguments, experiment / "killed", saves)
    done = vgt(*arguments, VGT_RESULTS_DIR=str(experiment / "killed"))
    assert done.returncode == 0, done.stderr
    whole, killed = record_of(experiment / "whole"), record_of(experiment / "killed")
    assert (killed.key, killed.weights_sha256) == (whole.key, whole.weights_sha256)
    assert killed.series.keys() == whole.series.keys()
    for name, array in whole.series.items():
        np.testing.assert_array_equal(killed.series[name], array, err_msg=name)
    assert len(killed.environment["parts"]) >= 2
    assert len(whole.seeds) == len(set(whole.series["train_loss"][:, -1])) == seeds
    if arm == "gan":
        assert done.stderr.count("trained seed by seed: 3 runs, one after the other") == 1
        assert whole.labels["logged"] == ["test_radius"]
        assert whole.series["gradient_rms"].shape[0] == 3


@pytest.mark.slow
def test_what_cannot_be_used_is_refused_before_anything_runs(experiment: Path, vgt: Vgt) -> None:
    cases: dict[str, tuple[Any, ...]] = {
        "no data.factory's setting": ("gan", "data.settings.nois=1", "did you mean 'noise'"),
        "no such factory": ("items", "data.factory=own_code:dataset", "did you mean 'datasets'"),
        "a module's setting": ("gan", "module.settings.depth=3", "width"),
    }
    for arm, override, message in cases.values():
        done = vgt("train", "own.yaml", "--arm", arm, "--set", override, "--no-tracking")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done
        assert message in done.stderr
    assert not list((experiment / "results").glob("*/record.json"))


@pytest.mark.slow
def test_key_goes_with_data_and_code(experiment: Path, vgt: Vgt) -> None:
    def keys() -> dict[str, str]:
        done = vgt("train", "own.yaml", "--dry-run")
        assert done.returncode == 0, done.stderr
        return {job["arm"]: job["key"] for job in json.loads(done.stdout)}

    first = keys()
    assert keys() == first
    (experiment / "own.yaml").write_text(EXPERIMENT.replace("noise: 0.05", "noise: 0.06"))
    noisier = keys()
    assert [arm for arm in first if noisier[arm] != first[arm]] == ["gan", "regression"]
    (experiment / "own.yaml").write_text(EXPERIMENT)
    (experiment / "own_code.py").write_text(CODE + "\n# changed\n")
    assert not set(keys().values()) & set(first.values())


@pytest.mark.slow
def test_few_pictures_are_really_trained_on_the_first_try(tmp_path: Path, vgt: Vgt) -> None:
    rng = np.random.default_rng(0)
    for split, num in (("train", 60), ("test", 20)):
        for label, name in enumerate(("dark", "light", "medium")):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for index in range(num):
                pixels = rng.integers(0, 100, (8, 8, 3)) + (0, 140, 70)[label]
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    (tmp_path / "pictures" / "train" / "dark" / "Thumbs.db").write_bytes(b"no picture")
    (tmp_path / "mine.yaml").write_text(
        "arms: {a: {data: {num_train: 10000, num_validation: 400}, model: {width: 16}, training: {epochs: 2}}}"
    )
    picture_settings = ("--dataset", "image_folder", "--set", "data.path=pictures")
    done = vgt("train", "mine.yaml", *picture_settings, "--seeds", "2", "--no-tracking", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "Thumbs.db: no picture, passed over" in notes[0]
    assert "data.num_validation: 400 of 180 would be more than half; 36, a fifth, are held out" in notes[1]
    assert "training.epochs: 2 of 144 are 2 steps; trained for 500 instead" in notes[2]
    record = record_of(tmp_path / "results")
    assert (record.series["test_accuracy"] > 0.9).all()
    assert record.dataset["num_validation"] == 36
