"""The best network by itself does what its replica does in the population, and a plain torch network would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.data.theirs import build_data
from vgtemplate.records import Record, make_results_folder, record_path, write_record
from vgtemplate.training.models import write_models
from vgtemplate.training.run import train_arm
from vgtemplate.training.served import best_seed, serve
from vgtemplate.training.trainer import Hardware

SEEDS = (3, 7, 1)
OWN = """\
import types
import torch
from torch import nn

def net(width=8):
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()
    def forward(self, x):
        return types.SimpleNamespace(logits=self.net(x))

def waves():
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    return {"train": (x[:40], x[:40, :1]), "test": (x[40:], x[40:, :1])}

class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, index):
        return (torch.ones(2), torch.ones(2)), torch.ones(1)
"""


def settings(**changes: Any) -> dict[str, Any]:
    training = {"steps": 12, "evaluate": True}
    base = {"data": {"dataset": "digits", "batch_size": 32}, "probes": {"every": 0}, "training": training}
    return {name: {**base.get(name, {}), **changes.get(name, {})} for name in {*base, *changes}}


def trained(tmp_path: Path, arm: dict[str, Any]) -> tuple[Record, Any, Path]:
    """Train an arm and leave what `vgt train` leaves of it."""
    record, module = train_arm("a", ArmConfig.model_validate(arm), SEEDS, tmp_path, Hardware("cpu"))
    results = make_results_folder(tmp_path / "results")
    write_record(results, record, lambda folder: write_models(folder, record, module))
    return record, module, record_path(results, record.key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        {"depth": 3, "width": 16, "norm": "batch", "residual": True},
        {"kind": "cnn", "num_stages": 1, "width": 8, "norm": "batch"},
        {"depth": 2, "width": 16, "norm": "layer"},
    ],
    ids=["mlp", "cnn", "layer norm"],
)
def test_network_of_pictures_does_what_its_replica_does(tmp_path, model):
    record, module, folder = trained(tmp_path, settings(model=model))
    served = serve(record, folder, tmp_path)
    index = int(np.argmin(served_losses(record)))
    assert served.metadata["seed"] == SEEDS[index]
    assert served.inputs.min() >= 0
    assert 100 < served.inputs.max() <= 255  # pictures as they are
    data = build_data(ArmConfig.model_validate(record.configuration).data, SEEDS, tmp_path)
    data.setup("test")
    images = next(iter(data.test_dataloader()))[0][:, :2]
    with torch.no_grad():
        expected = module.model.eval()(images)[index]
    np.testing.assert_allclose(served.outputs, expected, rtol=1e-4, atol=1e-4)


def served_losses(record: Record) -> np.ndarray[Any, Any]:
    losses = record.series["train_loss"]
    return np.asarray(losses[:, -max(1, losses.shape[1] // 10) :].mean(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "Wrapped"])
def test_network_of_ones_own_is_the_plain_one(tmp_path, monkeypatch, name):
    (tmp_path / "served_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    arm = settings(model={"factory": f"served_nets:{name}"}, training={"loss": "mean_squared_error", "steps": 5})
    arm["data"] = {"factory": "served_nets:waves", "batch_size": 8}
    record, module, folder = trained(tmp_path, arm)
    served = serve(record, folder, tmp_path)
    plain = module.model.replica(SEEDS.index(served.metadata["seed"]))
    assert served.inputs.shape == (2, 2)
    with torch.no_grad():
        outputs = plain(torch.from_numpy(served.inputs))
    np.testing.assert_allclose(served.outputs, getattr(outputs, "logits", outputs), rtol=1e-6)


def test_record_without_a_network_has_none(tmp_path):
    record = Record("k", "a", {}, (0,), {}, {}, 1.0, {})
    assert serve(record, tmp_path, tmp_path) is None


def test_best_is_chosen_on_held_out_data_and_a_diverged_one_never():
    nan = np.nan
    configuration = ArmConfig.model_validate(settings()).model_dump(mode="json")
    loss = np.array([[nan] * 10, [2.0] * 10, [1.0] * 10, [3.0] * 10])
    series = {"train_loss": loss, "diverged_at": np.array([0, -1, -1, -1])}
    record = Record("k", "a", configuration, (0, 1, 2, 3), {}, {}, 1.0, series)
    assert best_seed(record) == 2
    validated = {"validation_loss": np.array([[nan, nan], [0.1, 0.5], [0.3, 0.3], [0.2, 0.2]])}
    assert best_seed(replace(record, series=series | validated)) == 1
    scored = {"validation_accuracy": np.array([[nan, nan], [0.1, 0.2], [0.3, 0.3], [0.2, 0.9]])}
    assert best_seed(replace(record, series=series | validated | scored)) == 3


@pytest.mark.slow
def test_inputs_that_are_no_single_tensor_are_said(tmp_path, monkeypatch):
    (tmp_path / "served_pairs.py").write_text(
        OWN + "\ndef data():\n    return Pairs(), Pairs()\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.layer = nn.Linear(2, 1)\n"
        "    def forward(self, x, y):\n        return self.layer(x + y)\n"
    )
    monkeypatch.chdir(tmp_path)
    arm = settings(model={"factory": "served_pairs:Net"}, training={"loss": "mean_squared_error", "steps": 2})
    arm["data"] = {"factory": "served_pairs:data", "batch_size": 8}
    record, _, folder = trained(tmp_path, arm)
    with pytest.raises(UserError, match=r"its inputs are a (tuple|list), not one tensor"):
        serve(record, folder, tmp_path)
