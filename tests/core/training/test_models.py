"""Trained networks as files: the best and the last, and what other pictures come out as."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig, DataConfig
from vgtemplate.data.sources import load_images
from vgtemplate.training import run
from vgtemplate.training.models import BEST, LAST, read_model, write_models
from vgtemplate.training.module import PopulationModule
from vgtemplate.training.trainer import Hardware

SEEDS = [0, 1, 2]


def config(**changes: Any) -> ArmConfig:
    content: dict[str, Any] = {
        "data": {"dataset": "synthetic", "num_train": 200, "num_validation": 100, "num_test": 300, "batch_size": 20},
        "model": {"depth": 2, "width": 16},
        "optimiser": {"lr": 0.5},
        "training": {"steps": 40, "validate_every": 4},
        "probes": {"every": 0},
    }
    return ArmConfig.model_validate({name: content.get(name, {}) | changes.get(name, {}) for name in content})


def train(tmp_path: Path, **changes: Any) -> tuple[Any, PopulationModule]:
    return run.train_arm("a", config(**changes), SEEDS, tmp_path, Hardware("cpu"))


def synthetic_pictures(num: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images = load_images(DataConfig(dataset="synthetic"), Path("nowhere"))
    assert images.max_value == 255
    return images.test_images[:num], images.test_labels[:num]


@pytest.mark.parametrize("scaling", ["standardise", "unit"])
def test_a_file_does_to_the_test_images_what_the_network_did(tmp_path: Path, scaling: str) -> None:
    record, module = train(tmp_path, data={"scaling": scaling})
    write_models(tmp_path, record, module)
    pictures, labels = synthetic_pictures(300)
    probabilities = read_model(tmp_path / LAST).probabilities(pictures)
    assert probabilities.shape == (3, 300, 10)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, rtol=1e-12)
    accuracy = (probabilities.argmax(axis=2) == labels).mean(axis=1)
    np.testing.assert_allclose(accuracy, record.series["test_accuracy"], atol=1e-9)


def test_best_is_each_replicas_first_best_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Tensor]] = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.state.fn == "fit":
                assert isinstance(pl_module, PopulationModule)
                seen.append({name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()})

    observers = run.Observers

    def watched(*arguments: Any) -> Any:
        built = observers(*arguments)
        built.callbacks.append(Watch())
        return built

    monkeypatch.setattr(run, "Observers", watched)
    record, module = train(tmp_path)
    accuracies = record.series["validation_accuracy"]
    assert len(seen) == accuracies.shape[1] == 10
    best = accuracies.argmax(axis=1)
    assert len(set(best)) > 1, "the replicas should differ, or the test tells nothing"
    assert module.best_weights is not None
    for name, tensor in module.best_weights.items():
        for replica, index in enumerate(best):
            assert torch.equal(tensor[replica], seen[index][name][replica])
    write_models(tmp_path, record, module)
    stored = read_model(tmp_path / BEST).weights
    assert all(torch.equal(stored[name], tensor) for name, tensor in module.best_weights.items())
    last = read_model(tmp_path / LAST).weights
    assert all(torch.equal(last[name], tensor) for name, tensor in module.model.state_dict().items())


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    record, module = train(tmp_path, data={"num_validation": 0}, training={"steps": 3, "validate_every": None})
    write_models(tmp_path, record, module)
    assert [path.name for path in tmp_path.glob("*.pt")] == [LAST]


def test_double_precision_and_running_statistics_are_kept(tmp_path: Path) -> None:
    model = {"kind": "resnet", "depth": 8, "width": 2, "norm": "batch", "residual": True}
    record, module = train(tmp_path, model=model, training={"steps": 3, "precision": "64-true", "validate_every": None})
    write_models(tmp_path, record, module)
    pictures, labels = synthetic_pictures(300)
    accuracy = (read_model(tmp_path / LAST).probabilities(pictures).argmax(axis=2) == labels).mean(axis=1)
    np.testing.assert_allclose(accuracy, record.series["test_accuracy"], atol=1 / 300)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "kind", ["missing", "folder", "text", "pickle", "other", "truncated", "tensor", "settings", "sizes"]
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no model")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "other":
        torch.save({"evil": Evil()}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind in ("truncated", "settings", "sizes"):
        record, module = train(tmp_path, training={"steps": 2, "validate_every": None})
        write_models(tmp_path, record, module)
        content = (tmp_path / LAST).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        loaded = torch.load(tmp_path / LAST, weights_only=True)
        if kind == "sizes":
            loaded["configuration"]["model"]["width"] = 17
            torch.save(loaded, path)
        if kind == "settings":
            torch.save(loaded | {"configuration": {"model": {"kind": "transformer"}}}, path)
    with pytest.raises(UserError, match=r"model\.pt: ") as refused:
        read_model(path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()
