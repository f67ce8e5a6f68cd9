"""A LightningModule of one's own: trained as Lightning alone would, seed by seed, to one record."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor, nn

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.data.batches import BatchOrder
from vgtemplate.records import Record
from vgtemplate.training.models import read_model, write_models
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Checkpoints, Hardware

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)


def make_data() -> Any:
    return X[:48], Y[:48], X[48:], Y[48:]


class Regression(pl.LightningModule):
    """With dropout, so that random numbers matter; its hyperparameters hold what no checkpoint may."""

    def __init__(self, width: int = 8, lr: float = 0.05, patience: int = 0, kind: Any = nn.Tanh) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr, self.patience = lr, patience
        self.net = nn.Sequential(nn.Linear(3, width), kind(), nn.Dropout(0.2), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val_loss", F.mse_loss(self(batch[0]), batch[1]))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("test_loss", F.mse_loss(self(batch[0]), batch[1]))
        self.log("test_bias", (self(batch[0]) - batch[1]).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)

    def configure_callbacks(self) -> list[pl.Callback]:
        return [EarlyStopping("val_loss", patience=self.patience)] if self.patience else []


class OnlyTrains(pl.LightningModule):
    """Manual optimisation whose step returns nothing, and nothing to be tested by."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Linear(input_shape[0], num_classes)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        optimiser: Any = self.optimizers()
        optimiser.zero_grad()
        self.manual_backward(self.net(batch[0]).square().mean())
        optimiser.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Fails(Regression):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if batch_idx == 2:
            raise ValueError("the third batch")
        return super().training_step(batch, batch_idx)


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module `written`, as people would have it in a file."""
    module: Any = types.ModuleType("written")
    module.__file__ = __file__
    for each in (make_data, Regression, OnlyTrains, Fails):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "written", module)


def arm(factory: str = "Regression", training: dict[str, Any] | None = None, **changes: Any) -> ArmConfig:
    sections = {
        "module": {"factory": f"written:{factory}", "settings": changes.pop("settings", {})},
        "data": {"factory": "written:make_data", "batch_size": 12, **changes.pop("data", {})},
        "training": {"steps": 10, **(training or {})},
        "probes": {"every": 0},
    }
    return ArmConfig.model_validate(sections | changes)


def train(folder: Path, config: ArmConfig, seeds: Any = (4, 9), **more: Any) -> tuple[Record, Any]:
    return train_arm("mine", config, list(seeds), folder, Hardware("cpu"), **more)


def by_hand(seed: int, steps: int) -> tuple[Regression, list[float]]:
    """Train as anybody would in plain torch, with the same seeds."""
    torch.manual_seed(derive(seed, Stream.WEIGHTS))
    module = Regression()
    optimiser = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
    order, losses = BatchOrder([seed], 48, 12), []
    for step in range(steps):
        indices = order.indices(step)[0]
        torch.manual_seed(derive(seed, Stream.NOISE, 0, step, 0))
        loss = F.mse_loss(module(torch.tensor(X)[indices]), torch.tensor(Y)[indices])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return module.eval(), losses


def test_each_seed_is_trained_as_by_a_plain_loop(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="trained seed by seed: 2 runs, one after the other"):
        record, modules = train(tmp_path, arm())
    for row, seed in enumerate((4, 9)):
        expected, losses = by_hand(seed, 10)
        for name, tensor in expected.state_dict().items():
            assert torch.equal(modules[row].state_dict()[name], tensor), name
        assert record.series["train_loss"][row].tolist() == losses
        outputs = expected(torch.tensor(X[48:])).detach()
        assert record.series["test_loss"][row] == pytest.approx(F.mse_loss(outputs, torch.tensor(Y[48:])).item())
    assert record.series["train_loss"].shape == (2, 10)
    assert record.labels["logged"] == ["test_bias", "test_loss"]
    assert record.series["logged"].shape == (2, 2)
    assert record.series["diverged_at"].tolist() == [-1, -1]


def test_probes_validation_and_other_seeds_change_no_bit(tmp_path: Path) -> None:
    _, plain = train(tmp_path, arm(data={"num_validation": 12}), [9])
    changes: dict[str, Any] = {"data": {"num_validation": 12}, "probes": {"every": 2}}
    record, watched = train(tmp_path, arm(training={"validate_every": 2}, **changes))
    for name, tensor in plain[0].state_dict().items():
        assert torch.equal(tensor, watched[1].state_dict()[name]), name
    assert record.series["gradient_rms"].shape[:2] == (2, len(record.series["probe_steps"]))
    assert record.series["gradient_rms"].shape[2] == len(record.labels["layer"])
    assert record.labels["mixing"] == record.labels["layer"] == ["net.0", "net.3"]
    assert record.series["validation_steps"].tolist() == [2, 4, 6, 8, 10]
    assert record.series["validation_loss"].shape == (2, 5)


def test_seeds_that_stop_early_are_joined(tmp_path: Path) -> None:
    config = arm(
        settings={"patience": 1, "lr": 0.5},
        data={"num_validation": 12},
        training={"steps": 40, "validate_every": 1},
    )
    record, _ = train(tmp_path, config, range(4))
    losses = record.series["train_loss"]
    lengths = np.isfinite(losses).sum(axis=1)
    assert losses.shape == (4, max(lengths))
    assert len(set(lengths)) > 1
    assert all(np.isnan(row[length:]).all() for row, length in zip(losses, lengths, strict=True))
    assert (record.series["diverged_at"] == -1).all()


def test_a_module_that_logs_nothing_leaves_a_record(tmp_path: Path) -> None:
    data = {"factory": "written:make_data", "batch_size": 12}
    record, modules = train(tmp_path, arm("OnlyTrains", data=data), [1])
    assert np.isnan(record.series["train_loss"]).all()
    assert record.series["diverged_at"].tolist() == [-1]
    assert modules[0].net.weight.shape == (1, 3)
    assert "logged" not in record.series


def test_a_finished_seed_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", 0.0)
    whole, _ = train(tmp_path, arm(), [4, 9])
    train(tmp_path, arm(), [4], checkpoints=checkpoints)
    batches = []
    original: Callable[..., Tensor] = Regression.training_step
    monkeypatch.setattr(
        Regression, "training_step", lambda self, batch, index: batches.append(index) or original(self, batch, index)
    )
    record, _ = train(tmp_path, arm(), [4, 9], checkpoints=checkpoints)
    assert len(batches) == 10
    assert record.weights_sha256 == whole.weights_sha256
    for name, array in whole.series.items():
        np.testing.assert_array_equal(record.series[name], array, err_msg=name)


def test_weights_are_kept_and_read_back(tmp_path: Path) -> None:
    record, modules = train(tmp_path, arm())
    write_models(tmp_path, record, modules)
    model = read_model(tmp_path / "last.pt")
    for name, tensor in modules.state_dict().items():
        assert torch.equal(model.network().state_dict()[name], tensor)
    with pytest.raises(UserError, match="is a LightningModule of one's own"):
        model.require_classifier(tmp_path / "last.pt")
    assert not (tmp_path / "best.pt").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"factory": "Fails"},
            r"module.factory written:Fails: ValueError: the third batch \(.*test_own_module.py:\d+\)",
        ),
        ({"factory": "make_data"}, "makes a tuple; it must be a LightningModule of pytorch_lightning"),
        ({"settings": {"lr": -1.0}}, "module.factory written:Regression: ValueError: Invalid learning rate: -1.0"),
        ({"probes": {"shift": True}}, "probes.shift needs `model`"),
        ({"probes": {"growth": True}}, "probes.growth needs `model`"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        train(tmp_path, arm(**config))
    assert "\n" not in str(error.value)
