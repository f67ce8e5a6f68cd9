"""Checkpoints and models that somebody made or altered: set aside in one line, and the training starts anew."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.core.training.broken_off import break_off
from vgtemplate.callbacks.archives import form_of
from vgtemplate.config.errors import UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record
from vgtemplate.training.models import read_model
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Checkpoints, Hardware

SETTINGS: dict[str, Any] = {
    "data": {"dataset": "digits", "num_train": 60, "num_test": 20, "batch_size": 20},
    "model": {"depth": 2, "width": 4},
    "optimiser": {"name": "adam", "lr": 0.01},
    "training": {"steps": 6},
    "probes": {"num_images": 20},
}


def train(folder: Path, seeds: tuple[int, ...] = (0, 1), **settings: Any) -> Record:
    config = ArmConfig.model_validate(SETTINGS | settings)
    return train_arm("arm", config, seeds, folder, Hardware("cpu"), checkpoints=Checkpoints(folder, 0.0))[0]


def stop(folder: Path, **arguments: Any) -> Path:
    """Train up to step 3 and leave the checkpoint of it."""
    break_off(3, lambda: train(folder, **arguments))
    return folder / "training.ckpt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the training that nobody disturbed."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a training that was stopped at step 3."""
    return stop(tmp_path_factory.mktemp("stopped")).read_bytes()


@pytest.fixture
def checkpoint(tmp_path: Path, stopped: bytes) -> Path:
    """The same, in the folder of the test's own."""
    path = tmp_path / "training.ckpt"
    path.write_bytes(stopped)
    return path


class Opens:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hacked",)


def bomb(path: Path) -> None:
    """An archive of 10 kB that unpacks to 10 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def other_shape(found: dict[str, Any]) -> None:
    found["state_dict"] = {name: tensor[..., :1] for name, tensor in found["state_dict"].items()}


def cut_moments(found: dict[str, Any]) -> None:
    found["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(1)


ALTERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no optimiser's state": lambda found: found["optimizer_states"].clear(),
    "optimiser's state of no weight": lambda found: found["optimizer_states"][0]["state"].clear(),
    "optimiser's state of all weights but one": lambda found: found["optimizer_states"][0]["state"].popitem(),
    "another shape of the optimiser's state": cut_moments,
    "no weights": lambda found: found.pop("state_dict"),
    "another shape of weights": other_shape,
    "no callbacks": lambda found: found["callbacks"].clear(),
    "no loops": lambda found: found.pop("loops"),
    "no versions": lambda found: found.pop("versions"),
    "no form": lambda found: found.pop("form"),
}
REPLACED: dict[str, Callable[[Path], object]] = {
    "another object": lambda path: torch.save([1, 2, 3], path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "code": lambda path: torch.save({"versions": Opens()}, path),
    "a bomb": bomb,
    "a text": lambda path: path.write_text("no archive"),
    "a file of torch's old form": lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
    "a pipe": pipe,
}


def alter(path: Path, change: Callable[[dict[str, Any]], object], fits: bool = False) -> None:
    found = torch.load(path, weights_only=True)
    change(found)
    if fits:  # the checkpoint's own digest is made to fit
        found.pop("form")
        found["form"] = form_of(found)
    torch.save(found, path)


def assert_begun_anew(folder: Path, whole: Record) -> None:
    with pytest.warns(UserWarning, match=r"training\.ckpt: the checkpoint cannot be used \(.*\); the run starts anew"):
        record = train(folder)
    assert "parts" not in record.environment
    assert record.weights_sha256 == whole.weights_sha256
    assert (folder / "training.unusable").exists()
    assert not Path("hacked").exists()


@pytest.mark.parametrize("name", ALTERED)
def test_altered_checkpoint_is_set_aside(
    tmp_path: Path, checkpoint: Path, whole: Record, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alter(checkpoint, ALTERED[name])
    assert_begun_anew(tmp_path, whole)


@pytest.mark.parametrize(
    "name",
    [
        *("no weights", "another shape of weights", "no loops", "no optimiser's state"),
        *("optimiser's state of no weight", "optimiser's state of all weights but one"),
    ],
)
def test_checkpoint_whose_digest_fits_and_that_cannot_be_taken_up_is_set_aside(
    tmp_path: Path, checkpoint: Path, whole: Record, name: str
) -> None:
    alter(checkpoint, ALTERED[name], fits=True)
    assert_begun_anew(tmp_path, whole)


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_no_checkpoint_is_set_aside(
    tmp_path: Path, checkpoint: Path, whole: Record, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    REPLACED[name](checkpoint)
    assert_begun_anew(tmp_path, whole)


@pytest.mark.parametrize("other", [{"seeds": (2, 3)}, {"optimiser": {"name": "adam", "lr": 0.02}}], ids=str)
def test_checkpoint_of_another_arm_is_set_aside(tmp_path: Path, whole: Record, other: dict[str, Any]) -> None:
    (tmp_path / "training.ckpt").write_bytes(stop(tmp_path / "other", **other).read_bytes())
    assert_begun_anew(tmp_path, whole)


@pytest.mark.usefixtures("checkpoint")
def test_checkpoint_that_nobody_touched_is_taken_up(tmp_path: Path, whole: Record) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*checkpoint")
        record = train(tmp_path)
    assert record.environment["parts"][-1]["from_step"] == 3
    assert record.weights_sha256 == whole.weights_sha256


def test_optimiser_that_knows_nothing_of_its_weights_is_taken_up(tmp_path: Path) -> None:
    plain = {"optimiser": {"name": "sgd", "lr": 0.1}}
    checkpoint = stop(tmp_path / "stopped", **plain)
    assert torch.load(checkpoint, weights_only=True)["num_states"] == [0]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*checkpoint")
        record = train(checkpoint.parent, **plain)
    assert record.environment["parts"][-1]["from_step"] == 3
    assert record.weights_sha256 == train(tmp_path / "whole", **plain).weights_sha256


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.pt"
    path.touch()
    REPLACED[name](path)
    with pytest.raises(UserError, match=r"last\.pt: is no model of `vgt train` \(") as refused:
        read_model(path)
    assert len(str(refused.value)) < 400
    assert not Path("hacked").exists()
