"""The file of a checkpoint: what it holds, and a run that finds it damaged, unreadable or of other versions."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.core.training.broken_off import break_off
from tests.core.training.test_checkpoint import BASE, SEEDS
from vgtemplate.config.errors import Stopped, UserError
from vgtemplate.config.schema import ArmConfig
from vgtemplate.records import Record
from vgtemplate.training.run import train_arm
from vgtemplate.training.trainer import Checkpoints, Hardware


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the training that nobody disturbed."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a training that was stopped at step 5."""
    folder = tmp_path_factory.mktemp("stopped")
    break_off(5, lambda: train(folder))
    return (folder / "training.ckpt").read_bytes()


@pytest.fixture
def checkpoint(tmp_path: Path, stopped: bytes) -> Path:
    """The same, in the folder of the test's own."""
    path = tmp_path / "training.ckpt"
    path.write_bytes(stopped)
    return path


def train(folder: Path) -> Record:
    checkpoints = Checkpoints(folder, 0.0)
    config = ArmConfig.model_validate(BASE)
    return train_arm("arm", config, SEEDS, folder, Hardware("cpu"), checkpoints=checkpoints)[0]


def test_checkpoint_is_read_without_pickles_and_holds_what_a_person_expects(checkpoint: Path) -> None:
    found = torch.load(checkpoint, weights_only=True)
    assert found["global_step"] == 5
    assert found["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["completed"] == 5
    assert any(name.startswith("model.") for name in found["state_dict"])
    assert len(found["optimizer_states"]) == 1


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [truncate, flip, empty], ids=lambda damage: damage.__name__)
def test_damaged_checkpoint_is_said_and_the_run_starts_anew(
    tmp_path: Path, checkpoint: Path, whole: Record, damage: Any
) -> None:
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.warns(UserWarning, match=r"training\.ckpt: the checkpoint cannot be used"):
        record = train(tmp_path)
    assert "parts" not in record.environment
    assert record.weights_sha256 == whole.weights_sha256
    assert checkpoint.with_suffix(".unusable").exists()


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_checkpoint_that_cannot_be_read_just_now_stays(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = checkpoint.read_bytes()

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("vgtemplate.callbacks.checkpointer.torch.load", refuse)
        with pytest.raises(UserError, match=r"training\.ckpt: the checkpoint cannot be read .*; it stays as it is"):
            train(tmp_path)
    assert checkpoint.read_bytes() == before
    assert train(tmp_path).environment["parts"][-1]["from_step"] == 5


def test_request_to_stop_while_a_checkpoint_is_read_is_met(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint.read_bytes()

    def stop(*_: Any, **__: Any) -> None:
        raise Stopped("stopped", int(signal.SIGTERM))

    with monkeypatch.context() as patch:
        patch.setattr("vgtemplate.callbacks.checkpointer.torch.load", stop)
        with pytest.raises(Stopped):
            train(tmp_path)
    assert checkpoint.read_bytes() == before


def test_checkpoint_of_other_versions_is_not_taken_up(tmp_path: Path, checkpoint: Path) -> None:
    found = torch.load(checkpoint, weights_only=True)
    found["versions"]["torch"] = "1.0"
    torch.save(found, checkpoint)
    with pytest.warns(UserWarning, match="other versions of the libraries wrote it"):
        assert "parts" not in train(tmp_path).environment


def test_full_disk_costs_the_checkpoint_and_not_the_run(
    tmp_path: Path, whole: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vgtemplate.training.trainer.write_whole", refuse)
    with pytest.warns(UserWarning, match="no checkpoint can be written"):
        record = train(tmp_path)
    assert record.weights_sha256 == whole.weights_sha256


def test_handlers_of_signals_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    train(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
