import numpy as np
import pytest

from vgtemplate.callbacks import live
from vgtemplate.config.schema import ArmConfig
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Hardware

MODULE = """\
import torch
from vgtemplate.lightning import pl

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.mse_loss(self.layer(x), y)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def data():
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    return {"train": (x, x[:, :1]), "test": (x, x[:, :1])}
"""


@pytest.fixture
def told(monkeypatch):
    """Everything that a training tells, from the first step on, by name and step."""
    monkeypatch.setattr(live, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(live, "_EVERY_SECONDS", 0.0)
    found: dict[str, dict[int, float]] = {}

    def tell(step, values):
        for name, value in values.items():
            found.setdefault(name, {})[step] = value

    return tell, found


def test_what_is_told_are_the_medians_that_the_record_has(tmp_path, told):
    tell, found = told
    settings = {
        "data": {"dataset": "digits", "num_train": 200, "batch_size": 20, "num_validation": 60},
        "model": {"depth": 2, "width": 8},
        "training": {"steps": 9, "validate_every": 3},
    }
    config = ArmConfig.model_validate(settings)
    record, _ = train_arm("a", config, [0, 1, 2], tmp_path, Hardware("cpu"), tell=tell)
    expected = np.median(record.series["train_loss"], axis=0)
    assert found["train_loss"] == pytest.approx(dict(enumerate(expected)))
    steps = record.series["validation_steps"]
    losses = np.median(record.series["validation_loss"], axis=0)
    known = dict(zip(map(int, steps), map(float, losses), strict=True))
    # The last validation comes after the last step, and is the record's alone.
    assert found["validation_loss"] == pytest.approx({step: known[step] for step in found["validation_loss"]})
    assert set(found["validation_loss"]) >= {3, 6}
    unheard, _ = train_arm("a", config, [0, 1, 2], tmp_path, Hardware("cpu"))
    assert unheard.weights_sha256 == record.weights_sha256


def test_short_training_tells_nothing(tmp_path):
    told = []
    settings = {"data": {"dataset": "digits", "num_train": 64}, "model": {"depth": 1}, "training": {"steps": 3}}
    config = ArmConfig.model_validate(settings)
    train_arm("a", config, [0], tmp_path, Hardware("cpu"), tell=lambda *values: told.append(values))
    assert told == []


def test_seeds_that_are_trained_in_turn_have_curves_of_their_own(tmp_path, told, monkeypatch):
    tell, found = told
    (tmp_path / "live_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    settings = {
        "module": {"factory": "live_nets:Net"},
        "data": {"factory": "live_nets:data", "batch_size": 8},
        "training": {"steps": 4},
    }
    config = ArmConfig.model_validate(settings)
    record, _ = train_arm("a", config, [3, 5], tmp_path, Hardware("cpu"), tell=tell)
    assert set(found) == {"seed_3/train_loss", "seed_5/train_loss"}
    assert found["seed_5/train_loss"] == pytest.approx(dict(enumerate(record.series["train_loss"][1])))
